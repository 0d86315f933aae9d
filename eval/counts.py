"""Precision, recall and their harmonic mean, for one image and pooled over all."""

import operator
from dataclasses import asdict, astuple, dataclass


def ratio(part: float, whole: float) -> float:
    """part / whole, or 0 if the whole is 0."""
    return part / whole if whole else 0.0


@dataclass(frozen=True)
class Counts:
    """Counts of ground truths, predictions and matches in one image or in several.

    Attributes:
        ground_truth: texts to find.
        predictions: detections that are judged.
        true_positives: matches, each of which adds 1 to the numerators of precision and recall.
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
        """The scores and the counts. A ratio with denominator 0 is 0, even without ground truth."""
        precision, recall = self.precision, self.recall
        hmean = ratio(2 * precision * recall, precision + recall)
        return {"precision": precision, "recall": recall, "hmean": hmean, **asdict(self)}
