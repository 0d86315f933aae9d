"""Intersection over union of binary maps, reported beside the losses."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def mean_iou(logits: Tensor, target: Tensor, mask: Tensor, eps: float = 1e-6) -> Tensor:
    """IoU of foreground (logit > 0) and of background inside the mask, averaged over both and over the batch.

    Args:
        logits, target, mask: (B, H, W).

    Returns:
        Scalar in 0 to 1. A class that neither prediction nor target holds counts as 0.
    """
    predicted = (logits > 0).flatten(1)
    actual = (target > 0.5).flatten(1)
    valid = (mask > 0.5).flatten(1)
    ious = []
    for p, t in ((predicted, actual), (~predicted, ~actual)):
        intersection = (p & t & valid).sum(1)
        union = ((p | t) & valid).sum(1)
        ious.append(intersection / (union + eps))
    return torch.stack(ious).mean()
