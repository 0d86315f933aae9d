"""The one text detector: PAN and KKDnet, teacher and student, are compositions of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError
from models.layers import upsample_to
from models.recompute import recomputed
from models.registry import MODELS
from models.text.output import TextOutput


@MODELS.register_module()
class TextDetector(nn.Module):
    """Backbone, neck, optional visual transformer, optional adaptation layer, head.

    Args:
        backbone: images (B, 3, H, W) to maps at strides 4, 8, 16, 32.
        neck: those maps to a pyramid of the same strides (or of stride 4 throughout).
        head: the fused text feature (B, C, H/4, W/4) to logits (B, K, uH/4, uW/4), u = `upscale` of the head.
        transformer: pyramid to pyramid, KKDnet's visual transformer module.
        adapter: fused feature to fused feature, the student's adaptation layer.
        recompute: in training, compute the activations of backbone and neck again in the backward pass instead of
            keeping them: less memory, more time, the same result.
    """

    task = "text"
    stride = 32

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        transformer: nn.Module | None = None,
        adapter: nn.Module | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.transformer = transformer
        self.adapter = adapter
        self.head = head
        self.recompute = recompute

    def forward(self, images: Tensor) -> TextOutput:
        """Runs on (B, 3, H, W) float images; raises ValueError unless H and W are multiples of 32."""
        pyramid = self.pyramid(images)
        fused = torch.cat([upsample_to(level, pyramid[0]) for level in pyramid], dim=1)  # (B, 4C, H/4, W/4)
        if self.adapter is not None:
            fused = self.adapter(fused)
        return TextOutput(tuple(pyramid), fused, self.head(fused))

    def pyramid(self, images: Tensor) -> Sequence[Tensor]:
        """The enhanced maps, see TextOutput; raises as `forward`."""
        if images.shape[-2] % self.stride or images.shape[-1] % self.stride:
            raise ValueError(f"image sides {tuple(images.shape[-2:])} must be multiples of {self.stride}")
        if self.recompute and self.training and torch.is_grad_enabled():
            pyramid = recomputed(self.neck, recomputed(self.backbone, images))
        else:
            pyramid = self.neck(self.backbone(images))
        if self.transformer is not None:
            pyramid = self.transformer(pyramid)
        return pyramid


def build_text_detector(model: Mapping[str, Any]) -> nn.Module:
    """Builds the `model` section of a config, part by part.

    A neck or head without `in_channels` takes them from the part before it.

    Raises:
        InputError: parts whose channels do not fit each other.
    """
    cfg = {key: dict(value) if isinstance(value, Mapping) else value for key, value in model.items()}
    backbone = MODELS.build(cfg.pop("backbone"))
    neck = MODELS.build(_with_channels(cfg.pop("neck"), "neck", tuple(backbone.channels)))
    head = MODELS.build(_with_channels(cfg.pop("head"), "head", sum(neck.channels)))
    detector = MODELS.get(cfg.pop("type"))
    parts = {name: MODELS.build(part) if isinstance(part, dict) else part for name, part in cfg.items()}
    return detector(backbone, neck, head, **parts)


def _with_channels(part: dict[str, Any], name: str, channels: int | tuple[int, ...]) -> dict[str, Any]:
    given = part.get("in_channels", channels)
    if (tuple(given) if isinstance(channels, tuple) else given) != channels:
        raise InputError(f"model.{name}.in_channels={given}: the part before it gives {channels}; leave it out")
    return {**part, "in_channels": channels}
