"""Pixel embedding loss of PAN (section 3.3), and its second version from PAN++ with a background term."""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from errors import InputError
from models import stream

SLOTS = 256  # per image: instances are numbered in uint8, 0 is background
BACKGROUND_SAMPLES = 100
_STRANDS = 8


class EmbeddingLoss(nn.Module):
    """Pulls the pixels of an instance to the mean of its kernel, pushes the means of different instances apart.

    Args:
        version: 2 also pushes up to 100 random background pixels of an image away from its instances.
        delta_v: distance of a pixel to its instance's mean up to which the cost is 0.
        delta_d: half the distance between means beyond which the cost is 0.
    """

    def __init__(self, version: int = 1, delta_v: float = 0.5, delta_d: float = 1.5) -> None:
        super().__init__()
        if version not in (1, 2):
            raise InputError(f"loss.embedding_version={version}: expected 1 or 2")
        self.samples = BACKGROUND_SAMPLES if version == 2 else 0
        self.delta_v = delta_v
        self.delta_d = delta_d

    def forward(self, embedding: Tensor, instances: Tensor, kernel: Tensor, training_mask: Tensor) -> Tensor:
        """Loss of every image.

        Args:
            embedding: (B, D, H, W) float.
            instances: (B, H, W) integer, 0 background, 1..n.
            kernel: (B, H, W) of 0 and 1, 1 on kernels.
            training_mask: (B, H, W) of 0 and 1, 0 on ignored regions.

        Returns:
            (B,) float32; 0 for an image without a kernel pixel in its training mask.
        """
        features = embedding.float().flatten(2)  # (B, D, N)
        instances, kernel, training_mask = (x.flatten(1) for x in (instances, kernel, training_mask))  # (B, N)
        drawn, valid = draw_background(instances, training_mask, self.samples)  # (B, K)
        # On a GPU the size of a selection would have to be read back, which stalls the stream: take all pixels there.
        if stream.stalls(embedding):
            slots, own, sample = SLOTS, features, _gather(features, drawn)
        else:
            slots = int(instances.max()) + 1
            pixels, inside = _instance_pixels(instances)  # (B, P)
            if self.samples:  # in one selection with the others, as each costs a gradient of the whole embedding
                pixels, inside = torch.cat([pixels, drawn], dim=1), F.pad(inside, (0, drawn.shape[1]))
            own = _gather(features, pixels)
            sample = own[..., pixels.shape[1] - drawn.shape[1] :]
            instances, kernel, training_mask = (x.gather(1, pixels) for x in (instances, kernel, training_mask))
            instances = instances * inside
        labels = (instances * training_mask.bool()).long()  # (B, P)
        means, core_size, size = _kernel_means(own, labels, kernel.bool(), slots)
        present = core_size > 0  # (B, S)
        present[:, 0] = False  # the background
        means = means * present[:, None]
        number = present.sum(1)
        loss = (self._pull(own, labels, means, size) * present).sum(1) / number.clamp(min=1)
        loss = loss + self._discrimination(means, present, sample, valid)
        # The background counts with a mean of zero: it adds log(1 + 0) to the sum and one to the number.
        loss = loss + 0.001 * (means.norm(dim=1).log1p() * present).sum(1) / (number + 1)
        return torch.where(number > 0, loss, torch.zeros_like(loss))

    def _pull(self, own: Tensor, labels: Tensor, means: Tensor, size: Tensor) -> Tensor:
        """Mean cost (B, S) of the pixels of each instance for their distance to its mean."""
        offset = _gather(-means, labels).add_(own)  # a difference, in the memory of its first term
        cost = _Penalty.apply(offset, self.delta_v, 1)
        return _segment_sum(cost[:, None], labels, means.shape[2])[:, 0] / size.clamp(min=1)

    def _discrimination(self, means: Tensor, present: Tensor, sample: Tensor, valid: Tensor) -> Tensor:
        """Mean cost (B,) of the pairs of means, and of the means and the background drawn, for being near."""
        number = present.sum(1)
        pairs = present[:, :, None] & present[:, None]  # (B, S, S)
        pairs = pairs & ~torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)
        total = (self._push(means, means) * pairs).sum((1, 2))
        terms = number * (number - 1)
        if self.samples:
            pushed = self._push(means, sample) * valid[:, None]  # (B, S, K)
            pushed = pushed.sum(2) / valid.sum(1, keepdim=True).clamp(min=1)
            total = total + (pushed * present).sum(1)
            terms = terms + number * valid.any(1)
        return torch.where(number > 1, total / terms.clamp(min=1), torch.zeros_like(total))

    def _push(self, means: Tensor, others: Tensor) -> Tensor:
        """Cost (B, S, K) of means (B, D, S) for being near to others (B, D, K)."""
        return _Penalty.apply(means[..., None] - others[:, :, None], 2 * self.delta_d, -1)


def draw_background(instances: Tensor, training_mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Draws pixels outside all instances, uniformly and without replacement.

    Args:
        instances, training_mask: (B, N); masked pixels count as background.
        number: maximum number of pixels drawn per image.

    Returns:
        Indices (B, K) into the N pixels, and (B, K) bool, false on those in excess of an image's background.
    """
    number = min(number, instances.shape[1])
    if not number:
        nothing = torch.zeros(len(instances), 0, dtype=torch.long, device=instances.device)
        return nothing, nothing.bool()
    shown = (instances > 0) & (training_mask > 0.5)
    if stream.stalls(instances):  # a random number for every pixel: how much background there is stays on the GPU
        weight, index = torch.rand(shown.shape, device=shown.device).masked_fill(shown, -1.0).topk(number, dim=1)
        return index, weight >= 0
    chance = random.Random(int(torch.randint(2**62, ())))
    rows = [row.nonzero()[:, 0] for row in ~shown]
    drawn = [row[chance.sample(range(len(row)), min(number, len(row)))] for row in rows]
    index = torch.stack([F.pad(row, (0, number - len(row)), value=-1) for row in drawn])
    return index.clamp(min=0), index >= 0


def _instance_pixels(instances: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (B, P) of the pixels (B, N) that are not 0, and (B, P) bool, false where an image has fewer of them."""
    rows = [row.nonzero()[:, 0] for row in instances]
    width = -(-max(map(len, rows)) // _STRANDS)
    pixels = torch.full((len(rows), _STRANDS * width), -1)
    for target, row in zip(pixels, rows):
        target[: len(row)] = row
    # Neighbours mostly share their instance, and additions to the same sum wait for each other. Pixels from distant
    # parts of the image in turn do not: this makes the sums over instances three times as fast.
    pixels = pixels.view(len(rows), _STRANDS, width).transpose(1, 2).flatten(1)
    return pixels.clamp(min=0), pixels >= 0


def _kernel_means(own: Tensor, labels: Tensor, core: Tensor, slots: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means (B, D, S) of own (B, D, P) over the core of each label, sizes (B, S) of the cores and of the labels."""
    segments = 2 * labels + core  # every label has two, its pixels outside the core and those inside
    ones = own.new_ones(1).expand_as(own[:, :1])
    sizes = _segment_sum(ones, segments, 2 * slots).view(-1, slots, 2)
    core_size = sizes[..., 1]
    means = _segment_sum(own, segments, 2 * slots)[..., 1::2] / core_size.clamp(min=1)[:, None]
    return means, core_size, sizes.sum(2)


class _Penalty(torch.autograd.Function):
    """log(1 + max(sign (d - margin), 0)^2) of the length d of offsets (B, D, ...): (B, ...).

    Written with its derivative, which takes one pass over the offsets and is 0 at d = 0.
    """

    @staticmethod
    def forward(ctx: Any, offset: Tensor, margin: float, sign: int) -> Tensor:
        distance = torch.zeros_like(offset[:, 0])
        for component in offset.unbind(1):
            distance.addcmul_(component, component)
        distance.sqrt_()
        excess = (distance - margin).mul_(sign).clamp_(min=0)
        square = excess.square()
        slope = excess.mul_(2 * sign).div_(square + 1)
        ctx.save_for_backward(offset, slope.div_(distance.clamp_(min=1e-12)))
        return square.log1p_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        offset, slope = ctx.saved_tensors
        return offset * (gradient * slope)[:, None], None, None


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """The columns (B, D, P) of values (B, D, N) at index (B, P)."""
    return values.gather(2, index[:, None].expand(-1, values.shape[1], -1))


def _segment_sum(values: Tensor, segments: Tensor, number: int) -> Tensor:
    """Sums of the columns of values (B, D, P) that belong to each segment (B, P): (B, D, number)."""
    sums = values.new_zeros(*values.shape[:2], number)
    return sums.scatter_add(2, segments[:, None].expand_as(values), values)
