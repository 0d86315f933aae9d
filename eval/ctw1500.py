"""CTW1500: curved text as polygons, scored by their IoU (Liu et al., Pattern Recognition 2019)."""

import numpy as np

from annotations import ctw1500
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.matching import Matches, Pairs
from eval.scorer import Scorer

MIN_IOU = 0.5

# Nothing is ignored: labels of the absolute form have a flag, which the published labels lack, so it is not used.
GROUND_TRUTH = GroundTruthFormat("CTW1500", {".txt": ctw1500.parse}, ignored=lambda instance: False)
RESULTS = ResultFormat("CTW1500", order="yx")


def match_one_to_one(iou: np.ndarray) -> Pairs:
    """Pairs of a (ground truth, prediction) IoU matrix by the rule of PASCAL VOC.

    A prediction, in file order, is true when its IoU with the ground truth that it overlaps best is above one
    half and no earlier prediction took that ground truth.
    """
    if not iou.size:
        return []
    taken: dict[int, int] = {}
    for prediction, best in enumerate(iou.argmax(axis=0).tolist()):
        if iou[best, prediction] > MIN_IOU:
            taken.setdefault(best, prediction)
    return list(taken.items())


def match_covering(iou: np.ndarray) -> Pairs:
    """Pairs of a (ground truth, prediction) IoU matrix by the rule of the published PAN and KKDnet.

    A prediction, in file order, covers every still uncovered ground truth at one half or above and is true
    when it covers any. It counts once: its pair is the one that it overlaps best; the others cannot be found any more.
    """
    uncovered, pairs = np.ones(len(iou), dtype=bool), []
    for prediction, column in enumerate(iou.T):
        covers = uncovered & (column >= MIN_IOU)
        uncovered &= ~covers
        if covers.any():
            pairs.append((int(np.where(covers, column, 0).argmax()), prediction))
    return pairs


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

    def match(self, areas: Areas, ignored: np.ndarray) -> Matches:
        match = match_one_to_one if self.variant == "official" else match_covering
        wanted, judged = np.ones(len(areas.ground_truth), bool), np.ones(len(areas.predictions), bool)
        return Matches.of(wanted, judged, match(areas.iou))
