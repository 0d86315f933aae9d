"""CTW1500: curved text as polygons, scored by their IoU (Liu et al., Pattern Recognition 2019)."""

import numpy as np

from annotations import ctw1500
from eval.counts import Counts
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.scorer import Scorer

MIN_IOU = 0.5

# Nothing is ignored: labels of the absolute form have a flag, which the published labels lack, so it is not used.
GROUND_TRUTH = GroundTruthFormat("CTW1500", {".txt": ctw1500.parse}, ignored=lambda instance: False)
RESULTS = ResultFormat("CTW1500", order="yx")


def match_one_to_one(iou: np.ndarray) -> int:
    """Counts true positives of a (ground truth, prediction) IoU matrix by the rule of PASCAL VOC.

    A prediction, in file order, is true when its IoU with the ground truth that it overlaps best is above one
    half and no earlier prediction took that ground truth.
    """
    if not iou.size:
        return 0
    taken: set[int] = set()
    for prediction, best in enumerate(iou.argmax(axis=0)):
        if iou[best, prediction] > MIN_IOU:
            taken.add(int(best))
    return len(taken)


def match_covering(iou: np.ndarray) -> int:
    """Counts true positives of a (ground truth, prediction) IoU matrix by the rule of the published PAN and KKDnet.

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


class CTW1500(Scorer):
    """``official``: one-to-one, IoU above 0.5, every image counts. ``kkdnet``: the rule of the published PAN and
    KKDnet: IoU of 0.5 or more, a prediction may cover several ground truths, and an image without a result file
    is left out. Nothing is ignored.
    """

    protocol = "ctw1500"
    variants = ("official", "kkdnet")

    @property
    def counts_without_result(self) -> bool:
        return self.variant == "official"

    def count(self, areas: Areas, ignored: np.ndarray) -> Counts:
        match = match_one_to_one if self.variant == "official" else match_covering
        return Counts(len(areas.ground_truth), len(areas.predictions), match(areas.iou))
