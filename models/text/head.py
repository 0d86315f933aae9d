"""The heads that turn the text feature into output maps (PAN, section 3.1; PSENet, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from errors import InputError
from models.layers import conv_bn_relu, init_kaiming
from models.registry import MODELS

PAN_MAPS = ("text", "kernel", *["embedding"] * 4)


class DenseHead(nn.Module):
    """3x3 convolution, batch norm, ReLU, 1x1 convolution.

    Args:
        in_channels: channels of the text feature.
        hidden: channels between the two convolutions.
        maps: meaning of the output channels, in order: 'text', then 'kernel's, then 'embedding's if any.
    """

    upscale = 1

    def __init__(self, in_channels: int, hidden: int, maps: Sequence[str]) -> None:
        super().__init__()
        self.maps = tuple(maps)
        self.conv1 = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(hidden, len(self.maps), 1)
        self.apply(init_kaiming)

    def forward(self, feature: Tensor) -> Tensor:
        return self.conv2(self.relu(self.bn1(self.conv1(feature))))


@MODELS.register_module()
class PANHead(DenseHead):
    """Six maps: text logit, kernel logit, four channels of pixel embedding.

    Args:
        in_channels: channels of the text feature.
        hidden: channels between the two convolutions.
    """

    def __init__(self, in_channels: int = 512, hidden: int = 128) -> None:
        super().__init__(in_channels, hidden, PAN_MAPS)


@MODELS.register_module()
class SeparablePANHead(nn.Sequential):
    """The maps of PANHead for a fraction of its work: 1x1 convolution, depthwise 3x3, 1x1.

    Args:
        in_channels: channels of the text feature.
        hidden: channels between the convolutions.
        upscale: how much finer than the text feature the maps are, 1, 2 or 4: each pixel of the feature gives
            `upscale` x `upscale` pixels of every map (sub-pixel convolution, Shi et al., CVPR 2016), at first all
            alike (Aitken et al., 2017). For words a few pixels high.
    """

    maps = PAN_MAPS

    def __init__(self, in_channels: int = 128, hidden: int = 32, upscale: int = 1) -> None:
        if upscale not in (1, 2, 4):
            raise InputError(f"model.head.upscale={upscale}: expected 1, 2 or 4")
        super().__init__(
            conv_bn_relu(in_channels, hidden),
            conv_bn_relu(hidden, hidden, kernel=3, groups=hidden),
            nn.Conv2d(hidden, len(PAN_MAPS) * upscale**2, 1),
            *([nn.PixelShuffle(upscale)] if upscale > 1 else []),
        )
        self.upscale = upscale
        self.apply(init_kaiming)
        with torch.no_grad():
            weight = self[2].weight
            weight.copy_(weight[:: upscale**2].repeat_interleave(upscale**2, dim=0))


def with_finer_maps(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network for one whose SeparablePANHead has finer maps: at first all pixels of one are alike.

    Args:
        state: of the network with coarser maps; all other weights, and those of maps no coarser, are handed on.
        network: that with the finer ones.
    """
    result = dict(state)
    for name, head in network.named_modules():
        if isinstance(head, SeparablePANHead):
            for key, own in head[2].state_dict(prefix=f"{name}.2.").items():
                given = state.get(key)
                for scale in (s for s in (1, 2, 4) if s < head.upscale):
                    if given is not None and given.shape == (len(PAN_MAPS) * scale**2, *own.shape[1:]):
                        result[key] = _repeated(given, scale, head.upscale // scale)
    return result


def _repeated(rows: Tensor, scale: int, times: int) -> Tensor:
    """Rows of maps of `scale` x `scale` pixels, in the order of PixelShuffle, for `times` as many along each side."""
    pixels = rows.unflatten(0, (len(PAN_MAPS), scale, scale))
    return pixels.repeat_interleave(times, 1).repeat_interleave(times, 2).flatten(0, 2)


@MODELS.register_module()
class PSENetHead(DenseHead):
    """Text logit, then kernel logits from the largest kernel to the smallest.

    Args:
        in_channels: channels of the text feature.
        hidden: channels between the two convolutions.
        kernel_num: number of maps, the text and `kernel_num - 1` kernels; as in data.train.
    """

    def __init__(self, in_channels: int = 1024, hidden: int = 256, kernel_num: int = 7) -> None:
        if kernel_num < 2:
            raise InputError(f"model.head.kernel_num={kernel_num}: expected 2 or more, the text and its kernels")
        super().__init__(in_channels, hidden, ("text", *["kernel"] * (kernel_num - 1)))
