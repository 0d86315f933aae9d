"""ICDAR 2015 incidental scene text: quadrilateral words, scored by their IoU (Karatzas et al., ICDAR 2015)."""

import numpy as np

from annotations import icdar2015
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.matching import Matches, judged_beside, match_in_file_order
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

    def match(self, areas: Areas, ignored: np.ndarray) -> Matches:
        wanted, judged = ~ignored, judged_beside(areas, ignored)
        return Matches.of(wanted, judged, match_in_file_order(areas.select(wanted, judged).iou))
