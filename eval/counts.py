"""Precision, recall and their harmonic mean, for one image and pooled over all."""

import operator
from dataclasses import asdict, astuple, dataclass


def ratio(part: float, whole: float) -> float:
    """part / whole, and 0 where there is nothing to divide by."""
    return part / whole if whole else 0.0


@dataclass(frozen=True)
class Counts:
    """What was found in one image or in several.

    Attributes:
        ground_truth: texts to find.
        predictions: detections that are judged.
        true_positives: what was found, each worth 1 to precision and to recall.
    """

    ground_truth: int = 0
    predictions: int = 0
    true_positives: int = 0

    @property
    def precision(self) -> float:
        return ratio(self.true_positives, self.predictions)

    @property
    def recall(self) -> float:
        return ratio(self.true_positives, self.ground_truth)

    def __add__(self, other: "Counts") -> "Counts":
        return type(self)(*map(operator.add, astuple(self), astuple(other)))

    def as_dict(self) -> dict[str, float]:
        """The scores and the counts. A ratio of nothing is 0, even with nothing to find."""
        precision, recall = self.precision, self.recall
        hmean = ratio(2 * precision * recall, precision + recall)
        return {"precision": precision, "recall": recall, "hmean": hmean, **asdict(self)}
