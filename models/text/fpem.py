"""Feature pyramid enhancement (PAN, Wang et al., ICCV 2019, section 3.2; v2 from PAN++, TPAMI 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from errors import InputError
from models.layers import conv_bn_relu, init_kaiming, upsample_to
from models.registry import MODELS


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 convolution, then 1x1 convolution, batch norm and ReLU."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        depthwise = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
        super().__init__(depthwise, conv_bn_relu(channels, channels))


class FPEM(nn.Module):
    """One enhancement module: an up path from stride 32 to 4, then a down path back.

    Maps go in and come out as (B, channels, H/s, W/s) for s = 4, 8, 16, 32. With `residual` (v2) each input is
    added to its output.
    """

    def __init__(self, channels: int = 128, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.up = nn.ModuleList(SeparableConv(channels) for _ in range(3))  # strides 4, 8, 16
        self.down = nn.ModuleList(SeparableConv(channels, stride=2) for _ in range(3))  # strides 8, 16, 32

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        out = list(maps)
        for i in (2, 1, 0):
            out[i] = self.up[i](out[i] + upsample_to(out[i + 1], out[i]))
        for i in (0, 1, 2):
            out[i + 1] = self.down[i](upsample_to(out[i + 1], out[i]) + out[i])
        if self.residual:
            out = [before + after for before, after in zip(maps, out)]
        return out


@MODELS.register_module()
class FPEMNeck(nn.Module):
    """Reduction of the four backbone maps to `channels`, two FPEMs in a row, and the sum of their outputs.

    Args:
        in_channels: channels of the four backbone maps; taken from the backbone where a config leaves it out.
        channels: channels of the pyramid.
        version: 1, or 2 for the FPEM with residual additions.
        shared: one FPEM used twice (KKDnet as published) instead of two (PAN).
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 128, version: int = 1, shared: bool = False) -> None:
        super().__init__()
        if version not in (1, 2):
            raise InputError(f"neck.version={version}: expected 1 or 2")
        self.reduce = nn.ModuleList(conv_bn_relu(c, channels) for c in in_channels)
        self.fpem1 = FPEM(channels, residual=version == 2)
        self.fpem2 = None if shared else FPEM(channels, residual=version == 2)
        self.channels = (channels,) * 4
        self.apply(init_kaiming)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        reduced = [reduce(stage) for reduce, stage in zip(self.reduce, stages)]
        first = self.fpem1(reduced)
        second = (self.fpem2 or self.fpem1)(first)
        return [a + b for a, b in zip(first, second)]
