"""CTW1500: curved text as polygons, scored by their IoU (Liu et al., Pattern Recognition 2019)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.counts import Counts
from eval.geometry import iou_matrix, make_shapes

VARIANTS = ("official", "kkdnet")
MIN_IOU = 0.5


def match_one_to_one(iou: np.ndarray) -> int:
    """True positives of a (ground truth, prediction) IoU matrix, as PASCAL VOC counts them.

    A prediction, in file order, is true when its IoU with the ground truth that it overlaps best is above one
    half and no earlier one took that ground truth.
    """
    if not iou.size:
        return 0
    taken: set[int] = set()
    for prediction, best in enumerate(iou.argmax(axis=0)):
        if iou[best, prediction] > MIN_IOU:
            taken.add(int(best))
    return len(taken)


def match_covering(iou: np.ndarray) -> int:
    """True positives of a (ground truth, prediction) IoU matrix, as the published PAN and KKDnet count them.

    A prediction, in file order, covers every still uncovered ground truth at one half or above and is true
    when it covers any.
    """
    uncovered = np.ones(len(iou), dtype=bool)
    true_positives = 0
    for column in iou.T:
        covers = uncovered & (column >= MIN_IOU)
        uncovered &= ~covers
        true_positives += bool(covers.any())
    return true_positives


class CTW1500:
    """Collects the images of a test set and scores them.

    Args:
        variant: ``official``: one-to-one, IoU above 0.5, every image counts. ``kkdnet``: what the published
            PAN and KKDnet report: IoU of 0.5 or more, a prediction may cover several ground truths, and an
            image without a result file is left out.

    Raises:
        ValueError: another variant.
    """

    def __init__(self, variant: str = "official") -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        self.variant = variant
        self._images: dict[str, Counts] = {}
        self._without_result: set[str] = set()

    def update(
        self, image_id: str, ground_truth: Sequence[np.ndarray], predictions: Sequence[np.ndarray] | None
    ) -> None:
        """Score one image.

        Args:
            image_id: its name; each may come once.
            ground_truth: (n, 2) polygons, x and y in pixels.
            predictions: the same, in file order, or None when the image has no result file. A polygon that
                encloses no area is a false positive.

        Raises:
            ValueError: an image that was given before.
        """
        if image_id in self._images or (predictions is None and image_id in self._without_result):
            raise ValueError(f"image {image_id!r} was given twice")
        if predictions is None:
            self._without_result.add(image_id)
            if self.variant == "kkdnet":
                return
            predictions = ()
        iou = iou_matrix(make_shapes(ground_truth), make_shapes(predictions))
        match = match_one_to_one if self.variant == "official" else match_covering
        self._images[image_id] = Counts(len(ground_truth), len(predictions), match(iou))

    def summary(self) -> dict[str, Any]:
        """Scores pooled over the images and, under ``per_image``, of each. A ratio of nothing is 0."""
        pooled = sum(self._images.values(), Counts())
        return {
            "protocol": "ctw1500",
            "variant": self.variant,
            **pooled.as_dict(),
            "images": len(self._images),
            "images_without_result": len(self._without_result),
            "per_image": {image_id: counts.as_dict() for image_id, counts in self._images.items()},
        }
