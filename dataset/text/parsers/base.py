"""Base class of the parsers of text annotations, and their shared parts."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from annotations import Instance
from annotations.outline import are_fractions, crosses, in_order
from dataset.issues import DataIssues
from dataset.text.parsers.folders import ELSEWHERE, annotation_of, list_images, listing, require_folders
from dataset.text.records import TextRecord
from errors import InputError

__all__ = [
    "ELSEWHERE",
    "FilePairParser",
    "TextParser",
    "annotation_of",
    "flaw_of",
    "list_images",
    "require_folders",
]

logger = logging.getLogger(__name__)

REORDERED = "polygons whose edges cross put in order: corners were listed row by row"
CROSSING = "polygons whose edges cross"
UNPAIRED = "label files without an image passed over"
_MARKS = ("don't care", "dontcare", "do not care", "illegible", "ignore", "unreadable")


class TextParser(ABC):
    """One split of a benchmark, read from the folder layout it is published in: a sequence of records.

    A subclass is registered in PARSERS under the name that configurations use, and needs nothing but
    `__len__`, `__getitem__` and `ground_truth`; where there is one annotation file for each image,
    `FilePairParser` gives the first two. Any further keyword of a subclass's constructor may stand in the
    configuration of the split.

    Args:
        root: folder of the benchmark, as in `data.root`.
        split: one of `splits`.

    Attributes:
        upright: True if polygons refer to images turned as their EXIF orientation says, False for pixels as stored.

    Raises:
        InputError: unknown split, missing or empty folder, or an annotation that cannot be read.
    """

    splits: tuple[str, ...] = ("train", "test")
    upright: ClassVar[bool] = False

    def __init__(self, root: Path | str, split: str) -> None:
        if split not in self.splits:
            name = type(self).__name__
            raise InputError(f"{name} has no split {split!r}; set split to one of: {', '.join(self.splits)}")
        self.root, self.split = Path(root), split
        self.issues = DataIssues(f"{type(self).__name__} {split}")

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> TextRecord:
        """The record of one image. Does not open the image."""

    def instance_counts(self) -> tuple[int, int]:
        """Number of instances, and number of ignored ones among them."""
        records = [self[i] for i in range(len(self))]
        return sum(len(r.polygons) for r in records), sum(int(r.ignore.sum()) for r in records)

    @property
    @abstractmethod
    def ground_truth(self) -> Path:
        """The annotation folder or file of the split, as the benchmark's evaluation protocol reads it.

        Raises:
            InputError: the benchmark has none.
        """


class FilePairParser(TextParser):
    """A benchmark with one annotation file for each image.

    All annotations are read at once, so that a mistake in any of them shows before training starts. Polygons
    that enclose nothing are left out and counted in `issues`; so are label files without an image.

    Args:
        root, split: as TextParser.
        ignore_labels: transcriptions of instances to ignore in training. Default: the benchmark's own.

    Raises:
        InputError: as TextParser; or the coordinates are fractions of the image's sides.
    """

    default_ignore_labels: tuple[str, ...] = ("###",)

    def __init__(self, root: Path | str, split: str, ignore_labels: Sequence[str] | None = None) -> None:
        super().__init__(root, split)
        self.ignore_labels = self._checked_labels(ignore_labels)
        self._labels: Counter[str] = Counter()
        pairs = self.list_split()
        instances = [self.read(annotation) for _, annotation in pairs]
        self._refuse_fractions([i.polygon for found in instances for i in found])
        self.records = [self._record(image, found) for (image, _), found in zip(pairs, instances)]
        if split in TextParser.splits:  # other splits are parts of these
            self._count_unpaired([annotation for _, annotation in pairs])
        self.issues.log()
        self._log_labels(ignore_labels)

    @abstractmethod
    def list_split(self) -> list[tuple[Path, Path]]:
        """The (image, annotation) files of the split, in the order of the image names."""

    @staticmethod
    @abstractmethod
    def read(annotation: Path) -> list[Instance]:
        """The instances of one annotation file; a reader of `annotations` on its content."""

    def ignores(self, instance: Instance) -> bool:
        """True if an instance counts neither as text nor as background in training."""
        return instance.difficult or instance.transcription in self.ignore_labels

    def _record(self, image: Path, instances: Sequence[Instance]) -> TextRecord:
        kept, polygons = [], []
        for instance in instances:
            flaw = flaw_of(instance.polygon)
            if flaw is not None:
                self.issues.add(flaw, instance.where)
                continue
            polygon = in_order(instance.polygon)
            if polygon is not instance.polygon:
                self.issues.add(REORDERED, instance.where)
            elif crosses(polygon):
                self.issues.add(CROSSING, instance.where)
            kept.append(instance)
            polygons.append(polygon.astype(np.float32))
        self._labels.update(instance.transcription for instance in kept)
        ignore = np.array([self.ignores(instance) for instance in kept], bool)
        return TextRecord(image, polygons, ignore, [instance.transcription for instance in kept])

    def _refuse_fractions(self, polygons: Sequence[np.ndarray]) -> None:
        if are_fractions(polygons):
            raise InputError(
                f"{self.issues.source}: all coordinates of its {len(polygons)} instances lie within 0..1: fractions of "
                "the image's sides; write them in pixels, x times the width and y times the height"
            )

    def _count_unpaired(self, used: Sequence[Path]) -> None:
        suffixes = {path.suffix.lower() for path in used}
        known = set(used)
        for folder in dict.fromkeys(path.parent for path in used):
            for path in sorted(path for paths in listing(folder) for path in paths):
                if path.suffix.lower() in suffixes and path not in known:
                    self.issues.add(UNPAIRED, str(path))

    def _checked_labels(self, labels: Sequence[str] | None) -> tuple[str, ...]:
        if labels is None:
            return self.default_ignore_labels
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise InputError(f"data.train.ignore_labels is {labels!r}; give a list of transcriptions, as ['###']")
        return tuple(labels)

    def _log_labels(self, given: Sequence[str] | None) -> None:
        """Logs the ignore labels that never occur, and other labels that look like ignore labels."""
        for label in given or ():
            if label and not self._labels[label]:
                logger.warning("%s: no instance is labelled %r, one of ignore_labels", self.issues.source, label)
        for label, count in self._labels.most_common():
            if _is_mark(label) and label not in self.ignore_labels and count > max(2, 0.01 * self._labels.total()):
                logger.warning(
                    "%s: %d instances labelled %r are learnt as text; if it marks text that cannot be read, set "
                    "ignore_labels=%s",
                    *(self.issues.source, count, label, [*self.ignore_labels, label]),
                )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TextRecord:
        return self.records[index]


def _is_mark(label: str) -> bool:
    """True if a transcription looks like a mark: one sign, once or repeated."""
    return label.strip().lower() in _MARKS or (len(set(label)) == 1 and not label.isalnum())


def flaw_of(points: np.ndarray) -> str | None:
    """Returns the defect of points (k, 2) that enclose no area, as a kind of DataIssues; None for a polygon."""
    if len(set(map(tuple, points.tolist()))) < 3:
        return "polygons with < 3 distinct points ignored"
    if (np.ptp(points, axis=0) < 1).all():
        return "polygons smaller than a pixel ignored"
    if cv2.contourArea(cv2.convexHull(points.astype(np.float32))) <= 0:
        return "polygons with all points on one line ignored"
    return None
