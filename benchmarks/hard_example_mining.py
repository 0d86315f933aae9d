"""Hard example mining against a sort of every image's background: `python benchmarks/hard_example_mining.py`."""

from __future__ import annotations

import torch
from distillation_step import random_batch
from harness import Row, compare, main
from torch import Tensor

from models.text.ohem import ohem_mask
from reference import text_losses


def same(ours: Tensor, reference: Tensor) -> str:
    assert torch.equal(ours, reference)
    return "equal masks"


def measure() -> list[Row]:
    batch = random_batch()
    logits = torch.randn(batch.text.shape, generator=torch.Generator().manual_seed(0))
    arguments = logits, batch.text, batch.training_mask
    work = f"hard example mining, {len(logits)}×{logits.shape[1]}², {float(batch.text.float().mean()):.0%} text"

    def reference() -> Tensor:
        return torch.stack([text_losses.ohem(*image) for image in zip(*arguments)])

    return [compare(work, lambda: ohem_mask(*arguments), reference, same, seconds=3)]


if __name__ == "__main__":
    main(measure, __doc__)
