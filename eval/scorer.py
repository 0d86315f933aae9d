"""Base class of the protocols: takes images one by one, and pools the scores over them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from errors import InputError
from eval.counts import Counts
from eval.geometry import Areas
from eval.matching import Matches


class Scorer(ABC):
    """Collects the images of a test set and scores them. A protocol adds its names and `match`.

    Args:
        variant: the rule, one of `variants`; the first is the benchmark's official one.

    Attributes:
        matches: image id -> judgement of the image; the scores follow from these.

    Raises:
        ValueError: another variant.
    """

    protocol: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    counts: ClassVar[type[Counts]] = Counts

    def __init__(self, variant: str = "official") -> None:
        if variant not in self.variants:
            raise ValueError(f"variant must be one of {', '.join(self.variants)}, got {variant!r}")
        self.variant = variant
        self.matches: dict[str, Matches] = {}
        self._without_result: set[str] = set()

    @abstractmethod
    def match(self, areas: Areas, ignored: np.ndarray) -> Matches:
        """Judgement of one image.

        Args:
            areas: areas of its n ground truths and m predictions, both in file order.
            ignored: (n,) bool, the ground truths that the protocol treats apart.
        """

    def count(self, matches: Matches) -> Counts:
        """Counts of one image."""
        return Counts(int(matches.wanted.sum()), int(matches.judged.sum()), len(matches.pairs))

    @property
    def counts_without_result(self) -> bool:
        """True if an image that has no result file counts, as one without predictions."""
        return True

    def update(
        self,
        image_id: str,
        ground_truth: Sequence[np.ndarray],
        predictions: Sequence[np.ndarray] | None,
        ignored: Sequence[bool] | None = None,
    ) -> None:
        """Score one image.

        Args:
            image_id: name of the image; each may be given once.
            ground_truth: (points, 2) polygons, x and y in pixels. One that encloses no area can be found by
                no prediction, and counts.
            predictions: the same, in file order, or None when the image has no result file. A polygon that
                encloses no area is a false positive.
            ignored: a flag for each ground truth, True if the protocol treats it apart (illegible text; in
                MSRA-TD500 difficult text); None for none.

        Raises:
            ValueError: an image that was given before, or another number of flags than of ground truths.
            InputError: more shapes than can be compared.
        """
        if image_id in self.matches or image_id in self._without_result:
            raise ValueError(f"image {image_id!r} was given twice")
        flags = np.zeros(len(ground_truth), dtype=bool) if ignored is None else np.asarray(ignored, dtype=bool)
        if flags.shape != (len(ground_truth),):
            raise ValueError(f"image {image_id!r}: {len(ground_truth)} ground truths, flags of shape {flags.shape}")
        if predictions is None:
            self._without_result.add(image_id)
            if not self.counts_without_result:
                return
            predictions = ()
        try:
            areas = Areas.of(ground_truth, predictions)
        except InputError as error:
            raise InputError(f"results of image {image_id!r}: {error}") from error
        self.matches[image_id] = self.match(areas, flags)

    def summary(self) -> dict[str, Any]:
        """Scores pooled over the images and, under ``per_image``, of each. A ratio with denominator 0 is 0."""
        images = {image_id: self.count(matches) for image_id, matches in self.matches.items()}
        pooled = sum(images.values(), self.counts())
        return {
            "protocol": self.protocol,
            "variant": self.variant,
            **pooled.as_dict(),
            "images": len(images),
            "images_without_result": len(self._without_result),
            "per_image": {image_id: counts.as_dict() for image_id, counts in images.items()},
        }
