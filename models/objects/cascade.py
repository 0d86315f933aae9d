"""Region heads of Cascade R-CNN (Cai & Vasconcelos, CVPR 2018), on torchvision's parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.ops import clip_boxes_to_image

from models.objects.fpn import Pyramid
from models.objects.heads import FasterHeads, add_mask_head
from models.registry import MODELS

Sizes = list[tuple[int, int]]
Targets = list[dict[str, Tensor]]

STAGE_IOUS = (0.5, 0.6, 0.7)
STAGE_BOX_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
STAGE_LOSS_WEIGHTS = (1.0, 0.5, 0.25)


@MODELS.register_module()
class CascadeHeads(nn.Module):
    """Three box heads in a row, each refining the boxes of the one before and trained at a higher IoU.

    Each one is a Faster R-CNN head with one box for all classes. In training each head labels and samples anew the
    boxes that the head before refined, with the ground-truth boxes added. In evaluation the class probabilities
    of the three heads, each on the boxes that it received, are averaged; the boxes are the last head's.

    The mask head, where there is one, is single: it is trained on the positive boxes of the last box head and applied
    to the final detections.

    Args:
        in_channels: channels of the pyramid; taken from the neck.
        num_classes: number of classes without background; taken from `model.num_classes`.
        mask: add a mask head (Cascade Mask R-CNN).
        mask_channels, predict_masks: as MaskHeads.
        representation, score_thresh, nms_thresh, detections: as FasterHeads.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mask: bool = False,
        mask_channels: int = 256,
        predict_masks: bool = True,
        representation: int = 1024,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections: int = 100,
        samples: int = 512,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            FasterHeads(
                in_channels, num_classes, representation, score_thresh, nms_thresh, detections, samples,
                positive_iou=iou, box_weights=box_weights, class_agnostic=True,
            )
            for iou, box_weights in zip(STAGE_IOUS, STAGE_BOX_WEIGHTS)
        )  # fmt: skip
        self.score_thresh = score_thresh
        self.mask = mask
        self.predict_masks = predict_masks
        if mask:
            add_mask_head(self, in_channels, num_classes, mask_channels)

    def forward(
        self, features: Pyramid, proposals: list[Tensor], sizes: Sizes, targets: Targets | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """In evaluation the detections of each image; in training the losses `stage1_classifier`, `stage1_box`, ..."""
        if self.training:
            return [], self._losses(features, proposals, sizes, targets)
        return self._detections(features, proposals, sizes), {}

    def _losses(self, features: Pyramid, proposals: list[Tensor], sizes: Sizes, targets: Targets) -> dict[str, Tensor]:
        losses, refined = {}, proposals
        for number, (stage, weight) in enumerate(zip(self.stages, STAGE_LOSS_WEIGHTS), start=1):
            boxes, matches, labels, box_targets = stage.select_training_samples(refined, targets)
            logits, deltas = stage.predict(features, boxes, sizes)
            classifier, box = fastrcnn_loss(logits, deltas, labels, box_targets)
            losses |= {f"stage{number}_classifier": weight * classifier, f"stage{number}_box": weight * box}
            refined = refine(stage, boxes, deltas, sizes)
        if self.mask:
            positive = [label > 0 for label in labels]
            boxes = [b[keep] for b, keep in zip(boxes, positive)]
            losses["mask"] = maskrcnn_loss(
                self._mask_logits(features, boxes, sizes),
                boxes,
                [target["masks"] for target in targets],
                [target["labels"] for target in targets],
                [match[keep] for match, keep in zip(matches, positive)],
            )
        return losses

    def _detections(self, features: Pyramid, proposals: list[Tensor], sizes: Sizes) -> list[dict[str, Tensor]]:
        probabilities, refined = [], proposals
        for stage in self.stages:
            boxes = refined
            logits, deltas = stage.predict(features, boxes, sizes)
            probabilities.append(logits.softmax(dim=-1))
            refined = refine(stage, boxes, deltas, sizes)
        mean = torch.stack(probabilities).mean(dim=0)
        # The last head takes logits; the softmax of a logarithm of probabilities is these probabilities.
        found = self.stages[-1].postprocess_detections(mean.log(), deltas, boxes, sizes)
        detections = [dict(zip(("boxes", "scores", "labels"), image)) for image in zip(*found)]
        if self.mask and self.predict_masks:
            logits = self._mask_logits(features, [d["boxes"] for d in detections], sizes)
            for detection, masks in zip(detections, maskrcnn_inference(logits, [d["labels"] for d in detections])):
                detection["masks"] = masks
        return detections

    def _mask_logits(self, features: Pyramid, boxes: list[Tensor], sizes: Sizes) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, sizes)))


def refine(stage: FasterHeads, boxes: list[Tensor], deltas: Tensor, sizes: Sizes) -> list[Tensor]:
    """Input boxes as refined by one head of the cascade, clipped to each image; without gradient."""
    refined = stage.box_coder.decode_single(deltas[:, :4].detach(), torch.cat(boxes))
    return [clip_boxes_to_image(b, size) for b, size in zip(refined.split([len(b) for b in boxes]), sizes)]
