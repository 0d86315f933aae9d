"""Pixel embedding loss, forward and backward, against one instance at a time: `python benchmarks/embedding_loss.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from distillation_step import random_batch
from harness import Row, compare, main
from torch import Tensor

from dataset import TextBatch
from models.text.embedding import BACKGROUND_SAMPLES, EmbeddingLoss, draw_background
from reference import text_losses

TOLERANCE = 1e-5


def our_loss(batch: TextBatch, version: int, embedding: Tensor) -> Tensor:
    loss = EmbeddingLoss(version)(embedding, batch.instances, batch.kernels[:, 0], batch.training_mask)
    return loss.mean()


def reference_loss(batch: TextBatch, version: int, embedding: Tensor) -> Tensor:
    """Written down plainly, with the background pixels that ours draws from the same state of the generator."""
    instances, mask = batch.instances, batch.training_mask
    number = BACKGROUND_SAMPLES if version == 2 else 0
    drawn, _ = draw_background(instances.flatten(1), mask.flatten(1), number)
    backgrounds = [image.flatten(1)[:, index] for image, index in zip(embedding, drawn)]
    images = zip(embedding, instances, batch.kernels[:, 0], mask, backgrounds)
    return torch.stack([text_losses.embedding(*image) for image in images]).mean()


def value_and_gradient(loss: Callable[[Tensor], Tensor], embedding: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    embedding = embedding.detach().requires_grad_()
    value = loss(embedding)
    value.backward()
    return value.detach(), embedding.grad


def same(ours: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> str:
    value, gradient = (float((a - b).abs().max()) for a, b in zip(ours, reference))
    assert max(value, gradient) <= TOLERANCE, f"value differs by {value}, gradient by {gradient}"
    return f"value within {value:.1e}, gradient within {gradient:.1e}"


def measure() -> list[Row]:
    batch, rows = random_batch(), []
    shape = len(batch.instances), 4, *batch.instances.shape[1:]
    embedding = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for version in (1, 2):
        ours = partial(value_and_gradient, partial(our_loss, batch, version), embedding)
        reference = partial(value_and_gradient, partial(reference_loss, batch, version), embedding)
        share = float((batch.instances > 0).float().mean())
        work = f"embedding loss {version}, forward and backward, {shape[0]}×{shape[2]}², {share:.0%} in instances"
        rows.append(compare(work, ours, reference, same, seconds=2.5))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
