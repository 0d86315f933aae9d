"""Feature pyramids of the object detectors: plain (Lin et al., CVPR 2017), and the multi-neck with two branches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from models.registry import MODELS

# Names of P2..P6 by which torchvision's RPN and heads find the levels.
LEVELS = ("0", "1", "2", "3", "pool")
STRIDES = (4, 8, 16, 32, 64)

Pyramid = dict[str, Tensor]
Branches = tuple[tuple[Tensor, ...], ...]


@MODELS.register_module()
class FPN(FeaturePyramidNetwork):
    """torchvision's feature pyramid, under its parameter names.

    Args:
        in_channels: channels of the four backbone maps; taken from the backbone.
        channels: channels of the pyramid.

    Attributes:
        channels: channels of the five levels P2..P6.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__(list(in_channels), channels, LastLevelMaxPool())
        self.channels = (channels,) * len(LEVELS)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Pyramid, Branches]:
        """From the four backbone maps (strides 4 to 32) to P2..P6 and the only branch, their P2..P5."""
        pyramid = super().forward(dict(zip(LEVELS, stages)))
        return pyramid, (tuple(pyramid.values())[:4],)


@MODELS.register_module(name=["MultiNeckFPN", "TwinFPN"])  # the second: alias in older checkpoints and configs
class MultiNeckFPN(FeaturePyramidNetwork):
    """The neck of multi-neck distillation: one top-down path, two branches, one merged pyramid.

    The 1x1 laterals and the top-down additions are shared. Each level has a 3x3 convolution per branch; both results
    are concatenated (branch 1 first) and merged by a 3x3 convolution. P6 is P5 subsampled by 2. There are no
    activations, as in the plain pyramid.

    Args, attributes: as FPN.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__(list(in_channels), channels)
        levels = len(in_channels)
        self.layer_blocks = nn.ModuleList(nn.Identity() for _ in range(levels))  # output convolutions are per branch
        self.branches = nn.ModuleList(
            nn.ModuleList(_conv3x3(channels, channels) for _ in range(levels)) for _ in range(2)
        )
        self.merge = nn.ModuleList(_conv3x3(2 * channels, channels) for _ in range(levels))
        self.channels = (channels,) * len(LEVELS)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Pyramid, Branches]:
        """From the four backbone maps (strides 4 to 32) to merged P2..P6 and P2..P5 of both branches."""
        top_down = super().forward(dict(zip(LEVELS, stages))).values()
        branches = tuple(tuple(conv(level) for conv, level in zip(convs, top_down)) for convs in self.branches)
        merged = [merge(torch.cat(pair, dim=1)) for merge, *pair in zip(self.merge, *branches)]
        merged.append(F.max_pool2d(merged[-1], kernel_size=1, stride=2))
        return dict(zip(LEVELS, merged)), branches


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.kaiming_uniform_(conv.weight, a=1)  # as in torchvision's feature pyramid
    nn.init.zeros_(conv.bias)
    return conv
