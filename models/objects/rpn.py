"""Region proposals over a feature pyramid (Ren et al., NeurIPS 2015; with FPN: Lin et al., CVPR 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers

from errors import InputError
from models.layers import require_finite, require_range
from models.objects.fpn import STRIDES, Pyramid
from models.registry import MODELS


class PyramidAnchors(AnchorGenerator):
    """Anchors at the true strides of P2..P6, in float32.

    torchvision divides the padded side by the level's side instead. For P6 that gives 61 instead of 64 when the side
    is 800, and another number when a larger neighbour pads the image further. Under autocast it also keeps anchors
    in the features' type, whose bfloat16 cannot hold coordinates above 256 exactly.
    """

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        super().set_cell_anchors(torch.float32, device)

    def grid_anchors(self, grid_sizes: list, strides: list) -> list[Tensor]:
        return super().grid_anchors(grid_sizes, [[stride, stride] for stride in STRIDES])


@MODELS.register_module()
class RPN(RegionProposalNetwork):
    """torchvision's region proposal network; boxes are computed in float32 at any precision of the features.

    In evaluation an image proposes the same boxes alone and beside a larger neighbour, as far as its features are the
    same: anchors centred in the neighbour's padding (beyond the image's own size rounded up to 32) are left out, and
    boxes are clipped to the image's own size.

    Args:
        in_channels: channels of the pyramid; taken from the neck.
        sizes: side of the square anchor of each level P2..P6, in pixels.
        ratios: height / width of the anchors of every level.
        pre_nms_train, pre_nms_test: proposals per level that enter non-maximum suppression.
        post_nms_train, post_nms_test: proposals per image that leave it.
        nms_thresh: IoU above which the lower-scored proposal of a level is removed.
    """

    def __init__(
        self,
        in_channels: int,
        sizes: tuple[float, ...] = (32, 64, 128, 256, 512),
        ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
        pre_nms_train: int = 2000,
        pre_nms_test: int = 1000,
        post_nms_train: int = 2000,
        post_nms_test: int = 1000,
        nms_thresh: float = 0.7,
    ) -> None:
        if len(sizes) != len(STRIDES) or not ratios or not all(x > 0 for x in (*sizes, *ratios)):
            raise InputError(
                f"rpn.sizes={tuple(sizes)}, rpn.ratios={tuple(ratios)}: expected five anchor sizes, for P2..P6, and at "
                "least one ratio, all above 0"
            )
        counts = dict(
            pre_nms_train=pre_nms_train, pre_nms_test=pre_nms_test, post_nms_train=post_nms_train,
            post_nms_test=post_nms_test,
        )  # fmt: skip
        require_range("model.rpn", 1, math.inf, **counts)
        require_range("model.rpn", 0, 1, nms_thresh=nms_thresh)
        super().__init__(
            PyramidAnchors(tuple((size,) for size in sizes), (tuple(ratios),) * len(sizes)),
            RPNHead(in_channels, len(ratios)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=dict(training=pre_nms_train, testing=pre_nms_test),
            post_nms_top_n=dict(training=post_nms_train, testing=post_nms_test),
            nms_thresh=nms_thresh,
        )

    def forward(
        self, images: ImageList, features: Pyramid, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (n, 4) of each image; in training also the losses `rpn_objectness` and `rpn_box`."""
        levels = list(features.values())
        maps, deltas = self.head(levels)
        anchors_per_level = [level[0].numel() for level in maps]
        objectness, deltas = concat_box_prediction_layers(maps, deltas)  # (B·A, 1), (B·A, 4)
        objectness, deltas = objectness.float(), deltas.float()
        anchors = self.anchor_generator(images, levels)
        proposals = self.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)  # (B, A, 4)
        scores = objectness.detach().view(len(anchors), -1)
        if not self.training:
            require_finite("proposals", objectness, deltas)
            padding = _over_padding(anchors[0], images.image_sizes)
            proposals = proposals.masked_fill(padding[..., None], 0)  # empty boxes are dropped
            scores = scores.masked_fill(padding, -torch.inf)
        boxes, _ = self.filter_proposals(proposals, scores, images.image_sizes, anchors_per_level)
        if not self.training:
            return boxes, {}
        labels, matched = self.assign_targets_to_anchors(anchors, targets)
        objectness_loss, box_loss = self.compute_loss(
            objectness, deltas, labels, self.box_coder.encode(matched, anchors)
        )
        return boxes, {"rpn_objectness": objectness_loss, "rpn_box": box_loss}


def _over_padding(anchors: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """(B, A) bool, True for anchors outside the cells of an image padded alone to multiples of 32."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # (A, 2), the cells' origins
    limits = centres.new_tensor([[32 * math.ceil(w / 32), 32 * math.ceil(h / 32)] for h, w in sizes])
    return (centres >= limits[:, None]).any(dim=-1)
