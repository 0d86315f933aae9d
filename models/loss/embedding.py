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
        features = embedding.float().flatten(2)  # (B, D, N)
        labels = (instances.long() * (training_mask > 0.5)).flatten(1)  # (B, N)
        kernel_labels = labels * (kernel > 0.5).flatten(1)
        # The number of slots is fixed on a GPU, where reading the maximum back would stall the stream.
        slots = MAX_INSTANCES + 1 if features.is_cuda else int(labels.max()) + 1
        counts = _segment_sum(torch.ones_like(features[:, :1]), kernel_labels, slots)[:, 0]  # (B, S)
        present = counts > 0
        present[:, 0] = False
        means = _segment_sum(features, kernel_labels, slots) / counts.clamp(min=1)[:, None]  # (B, D, S)
        means = means * present[:, None]
        number = present.sum(1)
        loss = self._aggregation(features, labels, means, present)
        loss = loss + self._discrimination(features, labels, means, present)
        norms = means.norm(dim=1)
        # The background counts with a mean of zero: it adds log(1 + 0) to the sum and one to the number.
        loss = loss + 0.001 * ((1 + norms).log() * present).sum(1) / (number + 1)
        return torch.where(number > 0, loss, torch.zeros_like(loss))

    def _aggregation(self, features: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> Tensor:
        own = means.gather(2, labels[:, None].expand(-1, means.shape[1], -1))  # (B, D, N)
        distance = (features - own).norm(dim=1)
        cost = (1 + F.relu(distance - self.delta_v) ** 2).log()[:, None]  # (B, 1, N)
        slots = present.shape[1]
        size = _segment_sum(torch.ones_like(cost), labels, slots)[:, 0].clamp(min=1)
        per_instance = _segment_sum(cost, labels, slots)[:, 0] / size
        return (per_instance * present).sum(1) / present.sum(1).clamp(min=1)

    def _discrimination(self, features: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> Tensor:
        number = present.sum(1)
        between = (means[:, :, :, None] - means[:, :, None, :]).norm(dim=1)  # (B, S, S)
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
        sample = features.gather(2, index[:, None].expand(-1, features.shape[1], -1))  # (B, D, K)
        distance = (sample[:, :, :, None] - means[:, :, None, :]).norm(dim=1)  # (B, K, S)
        cost = (self._push(distance) * valid[:, :, None]).sum(1) / valid.sum(1).clamp(min=1)[:, None]
        return cost, valid[:, 0] > 0

    def _push(self, distance: Tensor) -> Tensor:
        return (1 + F.relu(2 * self.delta_d - distance) ** 2).log()


def _segment_sum(values: Tensor, labels: Tensor, slots: int) -> Tensor:
    """Sums values (B, D, N) over the pixels of each label (B, N): (B, D, slots)."""
    out = values.new_zeros(values.shape[0], values.shape[1], slots)
    return out.scatter_add(2, labels[:, None].expand(-1, values.shape[1], -1), values)
