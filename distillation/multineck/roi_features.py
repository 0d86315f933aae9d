"""ROI descriptors of boxes from a teacher's pyramid, for central and directional multi-neck distillation."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from models.objects.fpn import LEVELS
from models.objects.roi_align import PyramidRoIAlign

SIDE = 7
DESCRIPTOR_SIZE = SIDE * SIDE
TOP_CHANNELS = 20

_align = PyramidRoIAlign(SIDE)


def roi_descriptors(pyramid: Sequence[Tensor], boxes: Sequence[Tensor], top_channels: int = TOP_CHANNELS) -> Tensor:
    """Descriptors of boxes: RoIAlign 7x7, mean of the channels of largest mean activation, L2-normalised.

    A box is pooled from the level of its size (Lin et al., CVPR 2017, equation 1: 224 pixels belong to P4).

    Args:
        pyramid: P2..P5, each (B, C, H, W), strides 4 to 32; levels beyond are not used.
        boxes: B times (n, 4), x1, y1, x2, y2 in pixels of the padded batch; n may be 0.
        top_channels: number of channels averaged for each box; all of them if there are fewer.

    Returns:
        (N, 49) float32, the boxes of all images in order; a box whose features are all zero gets zeros.
    """
    maps = dict(zip(LEVELS[:4], (level.float() for level in pyramid)))
    pooled = _align(maps, list(boxes), []).flatten(2)  # (N, C, 49)
    strongest = pooled.mean(2).topk(min(top_channels, pooled.shape[1]), dim=1).indices  # (N, 20)
    chosen = pooled.gather(1, strongest[..., None].expand(-1, -1, DESCRIPTOR_SIZE))  # (N, 20, 49)
    return F.normalize(chosen.mean(1))
