"""Pixel embedding loss of PAN (section 3.3), and its second version from PAN++ with a background term."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import InputError

MAX_INSTANCES = 200
BACKGROUND_SAMPLES = 100


class EmbeddingLoss(nn.Module):
    """Pulls the pixels of an instance to the mean of its kernel, pushes the means of different instances apart.

    Args:
        version: 2 also pushes up to 100 random background pixels of an image away from its instances.
        delta_v: distance to the own mean that costs nothing.
        delta_d: half the distance between means beyond which there is no cost.
    """

    def __init__(self, version: int = 1, delta_v: float = 0.5, delta_d: float = 1.5) -> None:
        super().__init__()
        if version not in (1, 2):
            raise InputError(f"loss.embedding_version={version}: expected 1 or 2")
        self.version = version
        self.delta_v = delta_v
        self.delta_d = delta_d

    def forward(self, embedding: Tensor, instances: Tensor, kernel: Tensor, training_mask: Tensor) -> Tensor:
        """Loss of every image.

        Args:
            embedding: (B, D, H, W) float.
            instances: (B, H, W) integer, 0 background, 1..n.
            kernel: (B, H, W), 1 on kernels.
            training_mask: (B, H, W), 0 on ignored regions.

        Returns:
            (B,) float32; 0 for an image without a kernel pixel in its training mask.
        """
        batch, dims = embedding.shape[:2]
        labels = (instances.long() * (training_mask > 0.5)).flatten(1)  # (B, N)
        # On a GPU the size of what is selected would have to be read back, which stalls the stream: take all there.
        slots = MAX_INSTANCES + 1 if embedding.is_cuda else int(labels.max()) + 1
        pixels = slice(None) if embedding.is_cuda else labels.flatten().nonzero()[:, 0]
        features = embedding.float().permute(0, 2, 3, 1).reshape(-1, dims)  # (B N, D)
        segments = (labels + slots * torch.arange(batch, device=labels.device)[:, None]).flatten()[pixels]  # (P,)
        own = features[pixels]  # (P, D)
        core = (kernel.flatten()[pixels] > 0.5).float()[:, None]  # (P, 1)
        counts = _segment_sum(core, segments, batch * slots)  # (B S, 1)
        means = _segment_sum(own * core, segments, batch * slots) / counts.clamp(min=1)  # (B S, D)
        cost = self._aggregation(own, segments, means).view(batch, slots)
        present = counts.view(batch, slots) > 0
        present[:, 0] = False  # the background
        means = means.view(batch, slots, dims) * present[..., None]
        number = present.sum(1)
        loss = (cost * present).sum(1) / number.clamp(min=1)
        loss = loss + self._discrimination(features, labels, means, present)
        # The background counts with a mean of zero: it adds log(1 + 0) to the sum and one to the number.
        loss = loss + 0.001 * ((1 + means.norm(dim=2)).log() * present).sum(1) / (number + 1)
        return torch.where(number > 0, loss, torch.zeros_like(loss))

    def _aggregation(self, own: Tensor, segments: Tensor, means: Tensor) -> Tensor:
        """Mean cost (B S, 1) of the pixels of each segment for their distance to its mean."""
        distance = (own - means[segments]).norm(dim=1, keepdim=True)
        cost = (1 + F.relu(distance - self.delta_v) ** 2).log()
        size = _segment_sum(torch.ones_like(cost), segments, len(means))
        return _segment_sum(cost, segments, len(means)) / size.clamp(min=1)

    def _discrimination(self, features: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> Tensor:
        number = present.sum(1)
        between = (means[:, :, None] - means[:, None]).norm(dim=3)  # (B, S, S)
        pairs = present[:, :, None] & present[:, None, :]
        pairs = pairs & ~torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)
        total = (self._push(between) * pairs).sum((1, 2))
        terms = number * (number - 1)
        if self.version == 2:
            pushed, has_background = self._background(features, labels, means)
            total = total + (pushed * present).sum(1)
            terms = terms + number * has_background
        return torch.where(number > 1, total / terms.clamp(min=1), torch.zeros_like(total))

    def _background(self, features: Tensor, labels: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cost (B, S) of random background pixels at each instance's mean, and (B,) whether there are any."""
        drawn = torch.rand(labels.shape, device=labels.device).masked_fill(labels > 0, -1.0)
        weight, index = drawn.topk(min(BACKGROUND_SAMPLES, labels.shape[1]), dim=1)  # without replacement
        valid = (weight >= 0).to(features.dtype)  # (B, K)
        offset = labels.shape[1] * torch.arange(len(labels), device=labels.device)[:, None]
        sample = features[index + offset]  # (B, K, D)
        distance = (sample[:, :, None] - means[:, None]).norm(dim=3)  # (B, K, S)
        cost = (self._push(distance) * valid[:, :, None]).sum(1) / valid.sum(1).clamp(min=1)[:, None]
        return cost, valid[:, 0] > 0

    def _push(self, distance: Tensor) -> Tensor:
        return (1 + F.relu(2 * self.delta_d - distance) ** 2).log()


def _segment_sum(values: Tensor, segments: Tensor, number: int) -> Tensor:
    """Sums the rows of values (P, D) that belong to each segment (P,): (number, D)."""
    return values.new_zeros(number, values.shape[1]).index_add(0, segments, values)
