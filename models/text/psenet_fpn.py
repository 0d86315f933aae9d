"""Feature pyramid of PSENet (Wang et al., CVPR 2019, section 3.1; FPN, Lin et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import conv_bn_relu, init_kaiming, upsample_to
from models.registry import MODELS


@MODELS.register_module()
class PSENetFPN(nn.Module):
    """Top-down pyramid; every convolution is followed by batch norm and ReLU, as in the published PSENet.

    Args:
        in_channels: channels of the four backbone maps; taken from the backbone where a config leaves it out.
        channels: channels of every level.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        self.top = conv_bn_relu(coarsest, channels)
        self.lateral = nn.ModuleList(conv_bn_relu(c, channels) for c in reversed(finer))  # strides 16, 8, 4
        self.smooth = nn.ModuleList(conv_bn_relu(channels, channels, kernel=3) for _ in finer)
        self.channels = (channels,) * len(in_channels)
        self.apply(init_kaiming)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        *finer, coarsest = stages
        pyramid = [self.top(coarsest)]
        for lateral, smooth, stage in zip(self.lateral, self.smooth, reversed(finer)):
            reduced = lateral(stage)
            pyramid.insert(0, smooth(reduced + upsample_to(pyramid[0], reduced)))
        return pyramid  # strides 4, 8, 16, 32
