"""MSRA-TD500: rotated lines of text, scored by their IoU (Yao et al., CVPR 2012)."""

import numpy as np

from annotations import msra_td500
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.matching import Matches
from eval.scorer import Scorer

MIN_IOU = {"official": 0.5, "kkdnet": 0.45}

GROUND_TRUTH = GroundTruthFormat("MSRA-TD500", {".gt": msra_td500.parse}, ignored=lambda instance: instance.difficult)
RESULTS = ResultFormat("MSRA-TD500", separator=", ")


class MSRATD500(Scorer):
    """``official``: IoU of 0.5 or more; ``kkdnet``: of 0.45 or more.

    Each ground truth, a difficult one too, is found by the first prediction that overlaps it enough, whatever
    else that prediction finds. Precision is found ground truths / predictions, so it can pass 1 where one
    prediction finds several. A difficult one that is not found is left out of recall.
    """

    protocol = "msra_td500"
    variants = tuple(MIN_IOU)

    def match(self, areas: Areas, ignored: np.ndarray) -> Matches:
        close = np.argwhere(areas.iou >= MIN_IOU[self.variant])  # by ground truth, then by prediction
        found, first = np.unique(close[:, 0], return_index=True)
        wanted = ~ignored
        wanted[found] = True
        return Matches(wanted, np.ones(len(areas.predictions), bool), close[first], np.zeros((0, 2), int))
