"""Precision, recall and their harmonic mean, for one image and pooled over all."""

from dataclasses import dataclass


def ratio(part: float, whole: float) -> float:
    """part / whole, and 0 where there is nothing to divide by."""
    return part / whole if whole else 0.0


@dataclass(frozen=True)
class Counts:
    """What was found in one image or in several.

    ``true_positives`` counts predictions; a protocol that credits recall otherwise keeps its own type.
    """

    ground_truth: int = 0
    predictions: int = 0
    true_positives: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.ground_truth + other.ground_truth,
            self.predictions + other.predictions,
            self.true_positives + other.true_positives,
        )

    def as_dict(self) -> dict[str, float]:
        """The scores, 0 to 1, and the counts. A ratio of nothing is 0, even with nothing to find."""
        precision = ratio(self.true_positives, self.predictions)
        recall = ratio(self.true_positives, self.ground_truth)
        return {
            "precision": precision,
            "recall": recall,
            "hmean": ratio(2 * precision * recall, precision + recall),
            "ground_truth": self.ground_truth,
            "predictions": self.predictions,
            "true_positives": self.true_positives,
        }
