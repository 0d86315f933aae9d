"""The judgement of an image, and rules that several protocols share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.geometry import Areas

Pairs = Sequence[tuple[int, int]]  # of a ground truth and a prediction


@dataclass(frozen=True)
class Matches:
    """Judgement of the n ground truths and m predictions of an image; the counts follow from it.

    Attributes:
        wanted: (n,) bool, ground truths that are to be found; the others are left out.
        judged: (m,) bool, predictions that are true or false; the others are left out.
        pairs: (k, 2) int, ground truth and prediction of each match, which adds 1 to the numerators of precision and
            recall. Some protocols let one prediction find several ground truths.
        parts: (l, 2) int, each ground truth and prediction that belong together in a match of several parts.
        part_credit: addition to the numerators for each ground truth and each prediction in `parts`.
    """

    wanted: np.ndarray
    judged: np.ndarray
    pairs: np.ndarray
    parts: np.ndarray
    part_credit: float = 0.0

    @classmethod
    def of(
        cls, wanted: np.ndarray, judged: np.ndarray, pairs: Pairs, parts: Pairs = (), part_credit: float = 0.0
    ) -> Matches:
        """Matches whose `pairs` and `parts` number the wanted ground truths and the judged predictions alone."""
        rows, columns = np.flatnonzero(wanted), np.flatnonzero(judged)

        def numbered(found: Pairs) -> np.ndarray:
            truths, predictions = np.array(found, int).reshape(-1, 2).T
            return np.stack([rows[truths], columns[predictions]], axis=1)

        return cls(wanted, judged, numbered(pairs), numbered(parts), part_credit)

    @property
    def found(self) -> np.ndarray:
        """(n,) bool, ground truths that are matched, wholly or in parts."""
        return _marked(len(self.wanted), self.pairs[:, 0], self.parts[:, 0])

    @property
    def true(self) -> np.ndarray:
        """(m,) bool, predictions that are matched, wholly or in parts."""
        return _marked(len(self.judged), self.pairs[:, 1], self.parts[:, 1])

    @property
    def recall_credits(self) -> np.ndarray:
        """(n,) share of each ground truth in the numerator of recall."""
        credits = np.zeros(len(self.wanted))
        credits[self.parts[:, 0]] = self.part_credit
        credits[self.pairs[:, 0]] = 1
        return credits


def _marked(count: int, *numbers: np.ndarray) -> np.ndarray:
    marks = np.zeros(count, bool)
    marks[np.concatenate(numbers)] = True
    return marks


def judged_beside(areas: Areas, ignored: np.ndarray) -> np.ndarray:
    """Predictions (m,) bool that are judged: all but those that find an ignored ground truth.

    Those have more than half of their area inside a single ignored ground truth. A prediction that encloses
    nothing lies in none, and is judged.

    Args:
        areas: areas of n ground truths and m predictions.
        ignored: (n,) bool, True for ignored ground truths.
    """
    return ~(areas.shared[ignored] > 0.5 * areas.predictions).any(axis=0)


def match_in_file_order(iou: np.ndarray) -> Pairs:
    """Pairs of a (ground truth, prediction) IoU matrix by the rule of ICDAR 2015.

    Each ground truth in turn takes the first prediction not yet taken whose IoU is above one half.
    """
    free, pairs = np.ones(iou.shape[1], dtype=bool), []
    for truth, row in enumerate(iou > 0.5):
        for prediction in np.flatnonzero(row & free)[:1].tolist():
            free[prediction] = False
            pairs.append((truth, prediction))
    return pairs
