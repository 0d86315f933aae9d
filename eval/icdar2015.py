"""ICDAR 2015 incidental scene text: quadrilateral words, scored by their IoU (Karatzas et al., ICDAR 2015)."""

import numpy as np

from annotations import icdar2015
from eval.counts import Counts
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.matching import leave_out_ignored, match_in_file_order
from eval.scorer import Scorer

GROUND_TRUTH = GroundTruthFormat(
    "ICDAR2015",
    {".txt": icdar2015.parse},
    ignored=lambda instance: instance.difficult or instance.transcription == "###",
    prefixes=("gt_",),
)
RESULTS = ResultFormat("ICDAR2015", prefix="res_", points=4)


class ICDAR2015(Scorer):
    """``official``: one-to-one in file order, IoU above 0.5, ignored words and predictions inside them left out."""

    protocol = "icdar2015"
    variants = ("official",)

    def count(self, areas: Areas, ignored: np.ndarray) -> Counts:
        areas = leave_out_ignored(areas, ignored)
        return Counts(len(areas.ground_truth), len(areas.predictions), match_in_file_order(areas.iou))
