"""timm feature extractors as backbones in place of the ResNet."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError
from models.registry import MODELS
from models.weights import read_weights

logger = logging.getLogger(__name__)


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A timm model cut into its feature maps at strides 4, 8, 16 and 32.

    Args:
        name: the timm model, such as 'convnext_tiny' or 'mobilenetv3_large_100'.
        pretrained: a local weight file of that timm model, or None to start from random weights.

    Attributes:
        channels: channels of the four outputs.

    Raises:
        InputError: unknown model, a model without these four strides, or a weight file that is missing,
            damaged, or without a matching tensor.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, name: str, pretrained: str | None = None) -> None:
        super().__init__()
        import timm  # takes seconds to import, and few configs use it

        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), n=1)
            raise InputError(
                f"backbone.name='{name}': no such timm model" + (f"; did you mean '{near[0]}'?" if near else "")
            )
        if pretrained is not None and not Path(pretrained).is_file():
            raise InputError(f"backbone.pretrained: no such file: {pretrained}; nothing is downloaded")

        def make(**options: Any) -> nn.Module:
            try:  # window transformers accept other image sizes only with this option
                return timm.create_model(name, features_only=True, strict_img_size=False, **options)
            except TypeError:
                return timm.create_model(name, features_only=True, **options)

        reductions = make().feature_info.reduction()
        if missing := set(self.strides) - set(reductions):
            raise InputError(f"backbone.name='{name}': no feature map at stride {sorted(missing)}; it has {reductions}")
        indices = tuple(reductions.index(stride) for stride in self.strides)
        with torch.random.fork_rng():
            self.body = make(out_indices=indices)
        if pretrained is not None:
            # timm's own reader may run code in files (old versions), so it receives tensors read here.
            state = read_weights(pretrained)
            random = self.body.state_dict()
            try:
                self.body = make(
                    out_indices=indices, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)}
                )
            except (RuntimeError, KeyError, ValueError) as error:
                raise InputError(
                    f"{pretrained}: is of another model than timm's {name}: {' '.join(str(error).split())[:200]}"
                ) from error
            loaded = self.body.state_dict()
            fit = sum(not torch.equal(value, random[key]) for key, value in loaded.items())
            if not fit:
                raise InputError(f"{pretrained}: none of its {len(state)} tensors fits timm's {name}")
            logger.info("%s: loaded %d of the %d tensors of %s", pretrained, fit, len(loaded), name)
        self.channels = tuple(self.body.feature_info.channels())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.body(images)
        if getattr(self.body, "output_fmt", "NCHW") == "NHWC":
            maps = [m.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) for m in maps]
        return tuple(maps)
