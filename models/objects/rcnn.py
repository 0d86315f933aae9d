"""Object detectors that return their features and their losses or detections from one pass over the images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image

from errors import InputError
from keywords import keywords
from models.layers import require_finite
from models.objects.fpn import LEVELS, Branches, Pyramid
from models.registry import MODELS


class RCNNOutput(NamedTuple):
    """Output of one pass, for images (B, 3, H, W).

    Attributes:
        pyramid: P2..P6, each (B, C, H/s, W/s) with s = 4, 8, 16, 32, 64 (P6 rounded up): input of RPN and heads.
        branches: per branch of the neck its P2..P5; a plain FPN has one, its pyramid's.
        losses: scalars by name in training, else {}.
        detections: in evaluation one dict per image: `boxes` (n, 4) x1, y1, x2, y2 inside the resized image, `labels`
            (n,) from 1, `scores` (n,), best first, and of a detector with masks `masks` (n, 1, 28, 28), probabilities
            inside the boxes. In training [].
    """

    pyramid: tuple[Tensor, ...]
    branches: tuple[tuple[Tensor, ...], ...]
    losses: dict[str, Tensor]
    detections: list[dict[str, Tensor]]


@MODELS.register_module()
class RCNN(nn.Module):
    """Faster, Mask or Cascade R-CNN: backbone, feature pyramid, region proposals, heads.

    Images come resized, normalised and padded at the right and the bottom. In evaluation everything but the
    convolutions keeps to an image's own size: where the padding of a larger neighbour changes detections, it does so
    through the features near the image's right and bottom border. (In training, anchors over the padding are
    negatives like others, as in torchvision.)

    With a TorchvisionResNet and an FPN the parameters have torchvision's names (`backbone.body`, `backbone.fpn`,
    `rpn`, `roi_heads`); see `current_names` for its older files.

    Args:
        backbone: images to four maps at strides 4, 8, 16, 32.
        neck: those maps to the pyramid by name, and the branches.
        rpn: pyramid to proposals and losses.
        heads: pyramid and proposals to detections and losses.
        num_classes: number of classes without background.

    Attributes:
        classes: names of the classes that it was trained on, in label order; empty if unknown.
    """

    task = "objects"
    stride = 32

    def __init__(
        self, backbone: nn.Module, neck: nn.Module, rpn: nn.Module, heads: nn.Module, num_classes: int = 80
    ) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"body": backbone, "fpn": neck})
        self.rpn = rpn
        self.roi_heads = heads
        self.num_classes = num_classes
        self.classes: tuple[str, ...] = ()

    def forward(
        self, images: Tensor, sizes: list[tuple[int, int]], targets: list[dict[str, Tensor]] | None = None
    ) -> RCNNOutput:
        """Runs on a padded batch.

        Args:
            images: (B, 3, H, W) float, H and W multiples of 32.
            sizes: (h, w) of each image inside the batch.
            targets: in training, per image `boxes` (n, 4) float x1, y1, x2, y2, `labels` (n,) int64 from 1 and, for
                a mask head, `masks` (n, H, W) uint8; n may be 0. Unused in evaluation.

        Raises:
            ValueError: sides that are no multiples of 32, or training without targets.
            InputError: in evaluation, features, proposals or predictions that are not finite.
        """
        if self.training and targets is None:
            raise ValueError("training needs targets")
        targets = targets if self.training else None
        pyramid, branches = self.features(images)
        if not self.training:
            require_finite("features", *pyramid.values())
        proposals, losses = self.rpn(ImageList(images, sizes), pyramid, targets)
        detections, head_losses = self.roi_heads(pyramid, proposals, sizes, targets)
        return RCNNOutput(tuple(pyramid.values()), branches, {**losses, **head_losses}, detections)

    def features(self, images: Tensor) -> tuple[Pyramid, Branches]:
        """The pyramid by name and the branches of images as `forward` takes them, without proposals and heads."""
        if images.shape[-2] % self.stride or images.shape[-1] % self.stride:
            raise ValueError(f"image sides {tuple(images.shape[-2:])} must be multiples of {self.stride}")
        return self.backbone["fpn"](self.backbone["body"](images))


def build_rcnn(model: Mapping[str, Any]) -> RCNN:
    """Builds the `model` section of a config: `backbone`, `neck`, `rpn` (may be left out), `heads`, `num_classes`.

    Accepts any backbone of MODELS that returns maps at strides 4, 8, 16 and 32.

    Raises:
        InputError: an unknown type or option, a missing part, or a part that does not fit; names the field.
    """
    cfg = dict(model)
    kind, num_classes = cfg.pop("type", "RCNN"), cfg.pop("num_classes", 80)
    if type(num_classes) is not int or num_classes < 1:
        raise InputError(f"model.num_classes={num_classes!r}: expected a whole number, 1 or more, without background")
    backbone = _build("backbone", cfg.pop("backbone", None))
    neck = _build("neck", cfg.pop("neck", None), in_channels=backbone.channels)
    if len(neck.channels) != len(LEVELS):
        raise InputError(f"model.neck: {type(neck).__name__} gives {len(neck.channels)} levels, an R-CNN needs P2..P6")
    rpn = _build("rpn", cfg.pop("rpn", {"type": "RPN"}), in_channels=neck.channels[0])
    heads = _build("heads", cfg.pop("heads", None), in_channels=neck.channels[0], num_classes=num_classes)
    if cfg:
        raise InputError(f"model.{next(iter(cfg))}: unknown, an R-CNN has backbone, neck, rpn, heads, num_classes")
    return MODELS.get(kind)(backbone, neck, rpn, heads, num_classes)


def _build(field: str, cfg: Any, **given: Any) -> nn.Module:
    """One part of a detector, with the arguments `given` that follow from the other parts."""
    if not isinstance(cfg, Mapping) or cfg.get("type") not in MODELS.module_dict:
        known = ", ".join(sorted(MODELS.module_dict))
        raise InputError(f"model.{field}={cfg!r}: expected a dict whose 'type' is one of {known}")
    known = set(keywords(MODELS.get(cfg["type"])))
    if not set(given) <= known:
        raise InputError(f"model.{field}.type='{cfg['type']}': is no {field} of an R-CNN")
    known -= set(given)
    for option in cfg:
        if option not in known | {"type"}:
            raise InputError(f"model.{field}.{option}: unknown, {cfg['type']} has {', '.join(sorted(known))}")
    return MODELS.build({**cfg, **given})


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Brings the masks (n, 1, 28, 28) of an image's detections to an image of (h, w), in which the boxes (n, 4) lie.

    Returns:
        (n, h, w) probabilities, 0 outside the boxes. To draw on the original image scale the boxes first.
    """
    return paste_masks_in_image(masks, boxes, size)[:, 0]


_RENAMED = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^rpn\.head\.conv\.(weight|bias)$"), r"rpn.head.conv.0.0.\1"),
)
_MASK_CONV = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


def current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict of torchvision's detectors under its current layer names.

    Its published COCO files (fasterrcnn_resnet50_fpn_coco-*, maskrcnn_resnet50_fpn_coco-*) were written before some
    layers were renamed. torchvision renames them while loading; a comparison of names before loading needs it here.
    """
    return {_current_name(name): value for name, value in state.items()}


def _current_name(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return _MASK_CONV.sub(lambda m: f"roi_heads.mask_head.{int(m[1]) - 1}.0.{m[2]}", name)
