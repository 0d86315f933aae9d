"""Losses of probability maps against soft targets at every pixel, of the labels or of a teacher."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class SoftMapLoss(NamedTuple):
    """Scalars, averaged over maps and images.

    Attributes:
        bce: binary cross-entropy, averaged over the pixels of the mask.
        dice: soft dice, 0 where both maps are equal.
    """

    bce: Tensor
    dice: Tensor


def soft_map_loss(logits: Tensor, target: Tensor, mask: Tensor, eps: float = 1e-3) -> SoftMapLoss:
    """Difference of maps of independent binary decisions from their targets.

    Args:
        logits: (B, K, h, w); p is their logistic function.
        target: (B, K, h, w), t, 0 to 1.
        mask: (B, h, w), weights of the pixels, 0 to 1.

    Returns:
        Binary cross-entropy, of which the pixels of the whole batch are averaged, so that an image without a pixel
        has no part in it; and 1 - 2 sum(pt) / (sum(p^2) + eps + sum(t^2) + eps) (V-Net, Milletari et al., 3DV 2016)
        of every map.
    """
    logits, target, mask = logits.float(), target.float(), mask[:, None].float()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p, t = ((probability * mask).flatten(2) for probability in (logits.sigmoid(), target))
    dice = 1 - 2 * (p * t).sum(2) / (p.square().sum(2) + eps + t.square().sum(2) + eps)
    return SoftMapLoss((bce * mask).sum() / (mask.sum() * logits.shape[1]).clamp(min=1), dice.mean())


def reduced(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels (B, K, H, W) at a smaller size (h, w): the share of each pixel that they cover."""
    return F.adaptive_avg_pool2d(labels.float(), size)


def judged(training_mask: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h, w): 1 where no pixel of a training mask (B, H, W) is ignored, 0 elsewhere."""
    return (reduced(training_mask[:, None], size)[:, 0] == 1).float()
