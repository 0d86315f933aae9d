"""The building blocks that backbone, neck and head share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import InputError


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; 'same' padding for odd kernels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def upsample_to(x: Tensor, like: Tensor) -> Tensor:
    """Resizes (B, C, h, w) bilinearly (align_corners=False) to the height and width of `like`."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    larger = F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
    if larger.requires_grad:
        larger.register_hook(_without_gaps)
    return larger


def _without_gaps(gradient: Tensor) -> Tensor:
    """Copies the gradient slice from the backward pass of `cat`, on which that of upsampling is many times slower."""
    return gradient.contiguous(memory_format=torch.channels_last)


def init_kaiming(module: nn.Module) -> None:
    """Kaiming-normal (fan-out) convolutions, batch norms at 1 and 0. For `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def require_finite(what: str, *tensors: Tensor) -> None:
    """Raises InputError for values that are not finite: later steps would drop them silently."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise InputError(
            f"the {what} that the detector computes are not finite; try --precision 32, or another checkpoint"
        )


def require_range(part: str, least: float, most: float, **options: float) -> None:
    """Raises InputError for the first option of a part of a network that is not within `least` to `most`."""
    for name, value in options.items():
        if not least <= value <= most:
            wanted = f"{least} or more" if most == float("inf") else f"{least} to {most}"
            raise InputError(f"{part}.{name}={value!r}: expected {wanted}")
