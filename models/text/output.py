"""Output of every text detector, in training and in inference alike."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class TextOutput(NamedTuple):
    """The maps of one forward pass, for images of (B, 3, H, W).

    Attributes:
        pyramid: the enhanced maps at strides 4, 8, 16 and 32, each (B, C, H/s, W/s).
        fused: (B, 4C, H/4, W/4), the text feature that the head reads.
        logits: (B, K, H/s, W/s), s = 4, or less of a head with `upscale`. PAN and KKD: text, kernel, then four
            embedding channels.
    """

    pyramid: tuple[Tensor, ...]
    fused: Tensor
    logits: Tensor
