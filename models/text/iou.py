"""Intersection over union of binary maps, reported beside the losses."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def mean_iou(logits: Tensor, target: Tensor, mask: Tensor, eps: float = 1e-6) -> Tensor:
    """IoU of foreground (logit > 0) and of background inside the mask, averaged over both and over the batch.

    Args:
        logits: (B, H, W).
        target, mask: (B, H, W) of 0 and 1.

    Returns:
        Scalar in 0 to 1. A class that neither prediction nor target holds counts as 0.
    """
    predicted, actual, valid = logits > 0, target.bool(), mask.bool()
    masked = (predicted & actual & valid, (predicted | actual) & valid, valid)
    both, either, area = (x.flatten(1).sum(1, dtype=torch.int32) for x in masked)  # (B,)
    foreground = both / (either + eps)
    background = (area - either) / (area - both + eps)
    return torch.stack([foreground, background]).mean()
