"""Region heads of Faster and Mask R-CNN, on torchvision's parts and under its parameter names."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import Linear, Module
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from models.layers import require_finite, require_range
from models.objects.fpn import Pyramid
from models.objects.roi_align import PyramidRoIAlign
from models.registry import MODELS

_LOSS_NAMES = {"loss_classifier": "classifier", "loss_box_reg": "box", "loss_mask": "mask"}


class BoxPredictor(FastRCNNPredictor):
    """Class logits (n, C+1) and box deltas (n, 4(C+1)), in float32 at any precision of the features.

    With `class_agnostic` one box is predicted and repeated for every class, so that torchvision's loss and decoding
    serve both kinds.
    """

    def __init__(self, in_channels: int, num_classes: int, class_agnostic: bool = False) -> None:
        super().__init__(in_channels, num_classes + 1)
        if class_agnostic:
            self.bbox_pred = Linear(in_channels, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(x)
        if not self.training:
            require_finite("classes and boxes", logits, deltas)
        repeats = 4 * logits.shape[1] // deltas.shape[1]
        return logits.float(), deltas.float().repeat(1, repeats)


class MaskPredictor(MaskRCNNPredictor):
    """Mask logits (n, C+1, 28, 28), in float32 at any precision of the features."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x).float()
        if not self.training:
            require_finite("masks", logits)
        return logits


def add_mask_head(heads: Module, in_channels: int, num_classes: int, width: int) -> None:
    """Gives the heads torchvision's mask branch: RoIAlign 14x14, four 3x3 convolutions, a transposed one, logits."""
    heads.mask_roi_pool = PyramidRoIAlign(14)
    heads.mask_head = MaskRCNNHeads(in_channels, (width,) * 4, dilation=1)
    heads.mask_predictor = MaskPredictor(width, width, num_classes + 1)


@MODELS.register_module()
class FasterHeads(RoIHeads):
    """Classification and box regression of Faster R-CNN.

    Args:
        in_channels: channels of the pyramid; taken from the neck.
        num_classes: number of classes without background; taken from `model.num_classes`.
        representation: width of the two fully connected layers.
        score_thresh: detections scored below it are dropped.
        nms_thresh: IoU above which the lower-scored detection of a class is removed.
        detections: maximum number of detections per image.
        positive_iou: minimum IoU of a proposal with the ground-truth box that it is assigned to.
        box_weights: factors of the deltas of x, y, width and height.
        class_agnostic: one predicted box for all classes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        representation: int = 1024,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections: int = 100,
        samples: int = 512,
        positive_iou: float = 0.5,
        box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0),
        class_agnostic: bool = False,
    ) -> None:
        require_range("model.heads", 1, math.inf, representation=representation, detections=detections, samples=samples)
        require_range("model.heads", 0, 1, score_thresh=score_thresh, nms_thresh=nms_thresh, positive_iou=positive_iou)
        super().__init__(
            PyramidRoIAlign(7),
            TwoMLPHead(in_channels * 7 * 7, representation),
            BoxPredictor(representation, num_classes, class_agnostic),
            fg_iou_thresh=positive_iou,
            bg_iou_thresh=positive_iou,
            batch_size_per_image=samples,
            positive_fraction=0.25,
            bbox_reg_weights=tuple(box_weights),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections,
        )

    def predict(self, features: Pyramid, boxes: list[Tensor], sizes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Class logits (n, C+1) and deltas (n, 4(C+1)) of the boxes of all images together."""
        return self.box_predictor(self.box_head(self.box_roi_pool(features, boxes, sizes)))

    def forward(
        self,
        features: Pyramid,
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """In evaluation the detections of each image, in training the losses `classifier` and `box` (and `mask`)."""
        detections, losses = super().forward(features, proposals, sizes, targets)
        return detections, {_LOSS_NAMES[name]: loss for name, loss in losses.items()}


@MODELS.register_module()
class MaskHeads(FasterHeads):
    """Faster R-CNN's heads and the mask head of Mask R-CNN (He et al., ICCV 2017).

    Args:
        in_channels, num_classes: as FasterHeads.
        mask_channels: width of the mask head's convolutions.
        predict_masks: False leaves the masks out in evaluation, for a teacher or a metric that uses boxes only.
        options: further arguments of FasterHeads.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mask_channels: int = 256,
        predict_masks: bool = True,
        representation: int = 1024,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections: int = 100,
        samples: int = 512,
    ) -> None:
        super().__init__(in_channels, num_classes, representation, score_thresh, nms_thresh, detections, samples)
        add_mask_head(self, in_channels, num_classes, mask_channels)
        self.predict_masks = predict_masks

    def has_mask(self) -> bool:
        return self.training or self.predict_masks
