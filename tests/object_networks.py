"""Small object detectors, and images for them."""

from __future__ import annotations

import torch

HEADS = {
    "faster": dict(type="FasterHeads"),
    "mask": dict(type="MaskHeads", mask_channels=16),
    "cascade": dict(type="CascadeHeads", mask=True, mask_channels=16),
}


def small_rcnn(heads: str = "faster", neck: str = "FPN", **options) -> dict:
    """A detector of 3 classes with narrow layers that reports every score."""
    return dict(
        type="RCNN",
        backbone=dict(type="TorchvisionResNet", depth=18),
        neck=dict(type=neck, channels=32),
        rpn=dict(
            type="RPN",
            sizes=(16, 24, 32, 48, 64),
            pre_nms_train=100,
            post_nms_train=50,
            pre_nms_test=100,
            post_nms_test=50,
        ),
        heads={**HEADS[heads], "representation": 32, "score_thresh": 0.0, **options},
        num_classes=3,
    )


def scene(boxes: list[list[float]], labels: list[int]) -> dict[str, torch.Tensor]:
    """Targets in an image of 64x96, with masks that fill their boxes."""
    masks = torch.zeros(len(boxes), 64, 96, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    return dict(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=masks,
    )


TARGETS = [scene([[8, 8, 40, 48]], [2]), scene([[4, 20, 30, 40], [50, 10, 90, 60]], [1, 3])]


SIZES = [(64, 96), (60, 92)]


def images_of(targets: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Noise on which every object is a patch of a colour of its class."""
    images = 0.1 * torch.randn(len(targets), 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for image, target in zip(images, targets):
        for label, mask in zip(target["labels"], target["masks"]):
            image[label - 1] += 2.0 * mask
    return images


BOXES = dict(
    type="RCNN",
    backbone=dict(type="TorchvisionResNet", depth=18),
    neck=dict(type="FPN", channels=16),
    rpn=dict(type="RPN"),
    heads=dict(type="FasterHeads", representation=16),
    num_classes=3,
)
