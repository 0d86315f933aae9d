"""Online hard example mining of background pixels (PSENet, section 3.5; ratio 3:1)."""

from __future__ import annotations

import torch
from torch import Tensor

from models import stream


def ohem_mask(text_logits: Tensor, text: Tensor, training_mask: Tensor, ratio: int = 3) -> Tensor:
    """Selects all text pixels and the hardest background pixels of every image.

    The number of negatives is min(ratio x text pixels inside the training mask, all background pixels); they are
    counted and ranked over the whole image, the masked part included. Every pixel whose logit reaches that of the
    last negative chosen is selected. An image without positives or without negatives keeps its training mask.

    Args:
        text_logits: (B, H, W) float.
        text: (B, H, W) of 0 and 1, 1 on text.
        training_mask: (B, H, W) of 0 and 1, 0 on ignored regions.

    Returns:
        (B, H, W) float32 of 0 and 1, zero outside the training mask.
    """
    score = text_logits.detach().float().flatten(1)
    positive, trained = text.flatten(1).bool(), training_mask.flatten(1).bool()
    positives = (positive & trained).sum(1, dtype=torch.int32)
    negatives = torch.minimum(positives * ratio, (~positive).sum(1, dtype=torch.int32))  # (B,)
    threshold = _kth_largest(torch.where(positive, -torch.inf, score), negatives.clamp(min=1))  # (B, 1)
    # All are selected where there are no negatives; that holds where there are no positives, too.
    threshold = threshold.masked_fill((negatives == 0)[:, None], -torch.inf)
    return (((score >= threshold) | positive) & trained).float().view_as(text_logits)


def _kth_largest(values: Tensor, k: Tensor) -> Tensor:
    """The k-th largest value (B, 1) of each row of (B, N), k (B,) from 1."""
    if stream.stalls(values):  # a selection needs k on the host, which would stall the stream
        return values.sort(dim=1, descending=True).values.gather(1, (k.long() - 1)[:, None])
    rows = [row.kthvalue(len(row) - number + 1).values for row, number in zip(values, k.tolist())]
    return torch.stack(rows)[:, None]
