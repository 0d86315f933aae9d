"""Total-Text: curved words as polygons, scored by DetEval (Ch'ng, Chan and Liu, IJDAR 2020; Wolf and Jolion, 2006)."""

from dataclasses import astuple, dataclass

import numpy as np

from annotations import Instance, total_text
from eval.counts import Counts, ratio
from eval.formats import GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.matching import Matches, Pairs, judged_beside, match_in_file_order
from eval.scorer import Scorer

MIN_COVERED = 0.7  # share of a ground truth: sigma
MIN_INSIDE = 0.6  # share of a prediction: tau; also of a ground truth inside a prediction that spans several
PART_CREDIT = {"official": 0.8, "kkdnet": 1.0}  # k


def is_ignored(instance: Instance) -> bool:
    """True if one of two fields marks the instance as illegible: in old releases they do not always agree."""
    return "#" in (instance.orientation, instance.transcription)


GROUND_TRUTH = GroundTruthFormat(
    "Total-Text",
    {".mat": total_text.parse_mat, ".txt": total_text.parse_text},
    ignored=is_ignored,
    prefixes=("poly_gt_", "gt_"),
)
RESULTS = ResultFormat("Total-Text", order="yx")


@dataclass(frozen=True)
class DetEvalCounts(Counts):
    """Counts of DetEval: ``true_positives`` are one-to-one matches; split and merged matches earn credits.

    Attributes:
        precision_credits: k for each prediction of a split or merged match.
        recall_credits: k for each ground truth of a split or merged match.
    """

    precision_credits: float = 0.0
    recall_credits: float = 0.0

    @property
    def precision(self) -> float:
        return ratio(self.true_positives + self.precision_credits, self.predictions)

    @property
    def recall(self) -> float:
        return ratio(self.true_positives + self.recall_credits, self.ground_truth)


def deteval(areas: Areas) -> tuple[Pairs, Pairs]:
    """Matches of one image, one to one and in parts, in three passes, each over what the earlier ones left unmatched.

    One to one: a ground truth with exactly one sigma above 0.7 and exactly one tau above 0.6. As in the
    benchmark's own script only the row is tested: the prediction of that sigma may be matched with other
    rows too. Then one ground truth split into several predictions. Then several ground
    truths merged into one prediction.
    """
    sigma, tau = areas.covered, areas.inside
    covered = sigma > MIN_COVERED
    single = (covered.sum(axis=1) == 1) & ((tau > MIN_INSIDE).sum(axis=1) == 1)
    truths, predictions = ~single, ~covered[single].any(axis=0)  # still unmatched
    pairs = [tuple(pair) for pair in np.argwhere(covered & single[:, None]).tolist()]
    whole, split = match_parts(sigma, tau, truths, predictions, MIN_COVERED, MIN_INSIDE)
    again, merged = match_parts(tau.T, sigma.T, predictions, truths, MIN_INSIDE, MIN_COVERED)
    return [*pairs, *whole, *map(_swapped, again)], [*split, *map(_swapped, merged)]


def _swapped(pair: tuple[int, int]) -> tuple[int, int]:
    return pair[::-1]


def match_parts(
    covered: np.ndarray,
    inside: np.ndarray,
    wholes: np.ndarray,
    parts: np.ndarray,
    min_covered: float,
    min_inside_alone: float,
) -> tuple[Pairs, Pairs]:
    """Matches of one whole with several parts, the wholes in file order.

    A whole that two or more parts touch, matched ones included, is matched with the unmatched parts of which
    0.6 or more lies inside it, if together they cover enough of it.

    Args:
        covered: (whole, part) share of the whole that the part covers.
        inside: (whole, part) share of the part that lies inside the whole.
        wholes: (whole,) bool, those still unmatched; updated.
        parts: (part,) bool, the same.
        min_covered: least share of a whole that its parts must cover together.
        min_inside_alone: least share of a part inside the whole if it is the only one; it counts one to one.

    Returns:
        Pairs (whole, part) of matches with one part, and of those with several.
    """
    alone, several = [], []
    for whole in np.flatnonzero(wholes & ((covered > 0).sum(axis=1) >= 2)):
        found = np.flatnonzero(parts & (inside[whole] >= MIN_INSIDE))
        if covered[whole, found].sum() < min_covered:  # none found: 0
            continue
        if len(found) == 1 and inside[whole, found[0]] < min_inside_alone:
            continue
        (alone if len(found) == 1 else several).extend((int(whole), part) for part in found.tolist())
        wholes[whole], parts[found] = False, False
    return alone, several


class TotalText(Scorer):
    """``official``: DetEval, split and merged matches count 0.8. ``kkdnet``: DetEval as the published KKDnet
    configures it, they count 1. ``iou``: one-to-one in file order, IoU above 0.5. All leave out ignored words and
    predictions inside them.
    """

    protocol = "total_text"
    variants = (*PART_CREDIT, "iou")
    counts = DetEvalCounts

    def match(self, areas: Areas, ignored: np.ndarray) -> Matches:
        wanted, judged = ~ignored, judged_beside(areas, ignored)
        areas = areas.select(wanted, judged)
        if self.variant == "iou":
            return Matches.of(wanted, judged, match_in_file_order(areas.iou))
        return Matches.of(wanted, judged, *deteval(areas), PART_CREDIT[self.variant])

    def count(self, matches: Matches) -> DetEvalCounts:
        of_texts, of_predictions = (matches.part_credit * len(np.unique(part)) for part in matches.parts.T)
        return DetEvalCounts(
            *astuple(super().count(matches)), precision_credits=of_predictions, recall_credits=of_texts
        )
