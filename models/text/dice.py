"""Dice loss on masked probability maps (V-Net, Milletari et al., 3DV 2016, as used by PSENet)."""

from __future__ import annotations

from torch import Tensor


def dice_loss(logits: Tensor, target: Tensor, mask: Tensor, eps: float = 1e-3) -> Tensor:
    """1 - 2 sum(pt) / (sum(p^2) + eps + sum(t^2) + eps) per image.

    Args:
        logits: (B, H, W); p is their logistic function times the mask.
        target: (B, H, W), 0 or 1; t is the target times the mask.
        mask: (B, H, W), 0 or 1.

    Returns:
        (B,) losses between 0 and 1.
    """
    p = (logits.float().sigmoid() * mask).flatten(1)
    t = (target * mask).flatten(1).to(p.dtype)
    return 1 - 2 * (p * t).sum(1) / (p.square().sum(1) + eps + t.sum(1) + eps)  # t is its own square
