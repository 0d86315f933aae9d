"""torchvision's residual networks, the backbones of the object detectors."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models._utils import IntermediateLayerGetter

from errors import InputError
from models.registry import MODELS
from models.weights import load_matching, read_weights

_DEPTHS = (18, 50, 101)
_REGISTRY = "torchvision:"


@MODELS.register_module()
class TorchvisionResNet(IntermediateLayerGetter):
    """The four stage outputs of torchvision's ResNet at strides 4, 8, 16 and 32, under torchvision's parameter names.

    Frozen parts never change after construction, so that a resumed run trains the same parameters. By default
    `freeze_norm` and `frozen_stages` follow `pretrained`: weights that are loaded here are frozen as usual in
    object detection, random ones are trained in full. Where weights are loaded later (`train_cfg.pretrain`, which
    loads a whole detector after it is built), set both options in the config; they take effect as given.

    Args:
        depth: 18, 50 or 101.
        pretrained: a local file; or 'torchvision:NAME', such as 'torchvision:IMAGENET1K_V1', the only form that may
            download; or None to start from random weights. Tensors that do not match (the classifier) are left out
            and listed in the log.
        freeze_norm: batch norms use their running statistics and their scale and shift do not train, as usual at one
            or two images per step. None: True with `pretrained`, else False.
        frozen_stages: number of stages, from the input on, that are not trained; the stem belongs to the first. 0 to 4.
            None: 1 with `pretrained`, else 0.

    Attributes:
        channels: channels of the four outputs.

    Raises:
        InputError: an unknown depth or weight name, a missing file, a download that failed.
    """

    def __init__(
        self,
        depth: int = 50,
        pretrained: str | None = None,
        freeze_norm: bool | None = None,
        frozen_stages: int | None = None,
    ) -> None:
        if depth not in _DEPTHS:
            raise InputError(f"backbone.depth={depth}: expected one of {', '.join(map(str, _DEPTHS))}")
        if frozen_stages not in (None, 0, 1, 2, 3, 4):
            raise InputError(f"backbone.frozen_stages={frozen_stages}: expected 0 (nothing is frozen) to 4")
        network = torchvision.models.get_model(f"resnet{depth}", weights=None)
        super().__init__(network, {f"layer{stage}": str(stage - 1) for stage in (1, 2, 3, 4)})
        self.channels = tuple(network.inplanes // 8 * 2**i for i in range(4))
        if pretrained is not None:
            load_matching(self, _pretrained_weights(depth, pretrained), source=pretrained)
        loaded = pretrained is not None
        self.freeze_norm = loaded if freeze_norm is None else freeze_norm
        self.frozen_stages = int(loaded) if frozen_stages is None else frozen_stages
        for module in self._frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> TorchvisionResNet:
        """Sets the mode of everything but the frozen parts, which stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(super().forward(images).values())

    def _frozen(self) -> list[nn.Module]:
        stages = [f"layer{stage}" for stage in range(1, self.frozen_stages + 1)]
        parts = [self[name] for name in (["conv1", "bn1", *stages] if stages else [])]
        norms = [m for m in self.modules() if isinstance(m, _BatchNorm)] if self.freeze_norm else []
        return parts + norms


def _pretrained_weights(depth: int, source: str) -> dict[str, Tensor]:
    if not source.startswith(_REGISTRY):
        return read_weights(source)
    name, known = source.removeprefix(_REGISTRY), torchvision.models.get_model_weights(f"resnet{depth}")
    if name not in known.__members__:
        raise InputError(f"backbone.pretrained='{source}': resnet{depth} has {', '.join(known.__members__)}")
    file = Path(torch.hub.get_dir(), "checkpoints", Path(known[name].url).name)
    if not file.is_file():
        try:
            known[name].get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"backbone.pretrained='{source}': cannot be downloaded ({error}); put the file there as {file}, or "
                "name a local file in backbone.pretrained"
            ) from error
    return read_weights(file)
