"""Residual networks with a deep stem (He et al., CVPR 2016; stem of three 3x3 convolutions as in PSENet and PAN)."""

from __future__ import annotations

from torch import Tensor, nn

from errors import InputError
from models.layers import init_kaiming
from models.registry import MODELS
from models.weights import load_matching, read_weights


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (depth 18)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (carries the stride), 1x1 convolutions and a shortcut (depths 50 and 101)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + self.downsample(x))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


_BLOCKS = {18: (BasicBlock, (2, 2, 2, 2)), 50: (Bottleneck, (3, 4, 6, 3)), 101: (Bottleneck, (3, 4, 23, 3))}


@MODELS.register_module()
class ResNet(nn.Module):
    """ResNet with a deep stem; returns the four stage outputs at strides 4, 8, 16 and 32.

    Args:
        depth: 18, 50 or 101.
        width: channels of the first stage; 64 is the published size, a smaller multiple of
            16 makes a small network of the same form.
        pretrained: a local file with ImageNet weights, or None to start from random ones. Tensors that do not
            match (another stem, the classifier) are left out and listed in the log.

    Attributes:
        channels: channels of the four outputs, (64, 128, 256, 512) or (256, 512, 1024, 2048) at width 64.
    """

    def __init__(self, depth: int = 50, width: int = 64, pretrained: str | None = None) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise InputError(f"backbone.depth={depth}: expected one of {sorted(_BLOCKS)}")
        if width < 16 or width % 16:
            # PyTorch 2.15 corrupts memory in strided 1x1 convolutions of fewer than 16 channels-last channels on CPUs.
            raise InputError(f"backbone.width={width}: expected a positive multiple of 16")
        block, repeats = _BLOCKS[depth]
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [width * 2**i for i in range(4)]
        inputs = [2 * width] + [w * block.expansion for w in widths[:-1]]
        for i in range(4):
            stage = _stage(block, inputs[i], widths[i], repeats[i], stride=1 if i == 0 else 2)
            self.add_module(f"layer{i + 1}", stage)
        self.channels = tuple(w * block.expansion for w in widths)
        self.apply(init_kaiming)
        if pretrained is not None:
            load_matching(self, read_weights(pretrained), source=pretrained)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.relu(self.bn1(self.conv1(images)))  # (B, w, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.relu(self.bn3(self.conv3(x)))  # (B, 2w, H/2, W/2)
        c2 = self.layer1(self.maxpool(x))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


def _stage(block: type[nn.Module], in_channels: int, width: int, repeats: int, stride: int) -> nn.Sequential:
    blocks = [block(in_channels, width, stride)]
    blocks += [block(width * block.expansion, width) for _ in range(repeats - 1)]
    return nn.Sequential(*blocks)
