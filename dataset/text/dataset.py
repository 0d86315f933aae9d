"""The one dataset of images with text, for every benchmark, for training and for testing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset.image_dataset import UNREADABLE, ImageDataset
from dataset.images import read_image
from dataset.issues import SampleIssues
from dataset.registry import PARSERS
from dataset.split import Split, make_split
from dataset.text import parsers  # noqa: F401 - importing it fills the registry
from dataset.text.parsers.base import TextParser
from dataset.text.records import TextRecord
from dataset.text.samples import TestTransform, TrainTransform
from dataset.text.targets import MAX_INSTANCES, reaches
from errors import InputError

OUTSIDE = "polygons wholly outside their image ignored"
CROWDED = f"instances beyond the {MAX_INSTANCES}th of an image treated as ignored where all are visible"


class TextDataset(ImageDataset):
    """Images with text: `dataset[(epoch, index)]`, or `dataset[index]` for epoch 0; see ImageDataset.

    Args:
        parser: sequence of the records.
        transform: function from an image (H, W, 3), a record and a random generator to a sample.
        seed: seed of the augmentation, >= 0.
    """

    def __init__(self, parser: TextParser, transform: TrainTransform | TestTransform, seed: int = 0) -> None:
        self.parser = parser
        issues = SampleIssues(parser.issues.source, len(parser), (OUTSIDE, UNREADABLE, CROWDED))
        super().__init__(transform, seed, issues, parser.issues.counts)

    def require_text(self) -> None:
        """Checks that there is text: by all labels and, in training, by the sizes of some of the images.

        Raises:
            InputError: all instances are ignored, left out or outside their images; the message says why.
        """
        instances, ignored = self.instance_counts()
        if instances > ignored:
            if self.transform.training:
                self._require_text_inside()
            return
        why = [f"{count} {kind}" for kind, count in self.found.items()]
        if ignored:
            labels = ", ".join(map(repr, getattr(self.parser, "ignore_labels", ())))
            why.insert(0, f"all {ignored} instances are ignored" + (f" (ignore_labels: {labels})" if labels else ""))
        reason = "; ".join(why) or f"{len(self)} images without text"
        purpose = "learn" if self.transform.training else "find"
        by_option = self.transform.training and ignored and labels
        remedy = "correct the labels" + (", or set data.train.ignore_labels" if by_option else "")
        raise InputError(f"{self.issues.source}, {self.parser.root}: has no text to {purpose}: {reason}; {remedy}")

    def _require_text_inside(self) -> None:
        sizes = self.some_sizes()
        inside = [reaches(p, size) for i, size in sizes.items() for p in self.parser[i].polygons]
        if inside and not any(inside):
            raise InputError(
                f"{self.issues.source}, {self.parser.root}: has no text to learn: all {len(inside)} instances of the "
                f"{len(sizes)} images looked at lie outside their image; put the images there that were labelled"
            )

    def instance_counts(self) -> tuple[int, int]:
        return self.parser.instance_counts()

    def __len__(self) -> int:
        return len(self.parser)

    def image_path(self, index: int) -> Path:
        return self.parser[index].image_path

    def read(self, index: int) -> tuple[np.ndarray, TextRecord]:
        """The image (H, W, 3) and its record without the polygons outside the image."""
        record = self.parser[index]
        image = read_image(record.image_path, self.parser.upright)
        keep = np.array([reaches(p, image.shape[:2]) for p in record.polygons], bool)
        self.issues.mark(OUTSIDE, index, int(np.count_nonzero(~keep)), str(record.image_path))
        if not keep.all():
            record = _subset(record, keep)
        if self.transform.training:
            excess = int(np.count_nonzero(~record.ignore)) - MAX_INSTANCES
            self.issues.mark(CROWDED, index, max(excess, 0), str(record.image_path))
        return image, record


def _subset(record: TextRecord, keep: np.ndarray) -> TextRecord:
    return replace(
        record,
        polygons=[p for p, kept in zip(record.polygons, keep) if kept],
        ignore=record.ignore[keep],
        transcriptions=[t for t, kept in zip(record.transcriptions, keep) if kept],
    )


def text_split(section: Mapping[str, Any], root: Path | str, training: bool) -> Split:
    """The split that `data.train` or `data.test` of a config describes; nothing is read yet.

    Args:
        section: `type`, a name in PARSERS; keywords of that parser (`split`); and those of TrainTransform or
            TestTransform. `root`, for a split stored apart from the rest.
        root: `data.root`.
        training: use TrainTransform instead of TestTransform.

    Raises:
        InputError: unknown type or key, or an invalid value.
    """
    field = "data.train" if training else "data.test"
    options = dict(section)
    name = options.pop("type", None)
    if name not in PARSERS.module_dict:
        raise InputError(f"{field}.type is {name!r}; set it to one of: {', '.join(sorted(PARSERS.module_dict))}")
    parser = PARSERS.get(name)
    split = make_split(field, parser, {"root"}, TrainTransform if training else TestTransform, options, root)
    if "split" not in options:
        raise InputError(f"{field}.split is missing; set it to one of: {', '.join(parser.splits)}")
    return split


def read_text_split(split: Split, seed: int = 0) -> TextDataset:
    """The data set of a split; `seed` is that of the augmentation. InputError for data that cannot be read."""
    return TextDataset(split.reader(split.root, **split.options), split.transform, seed)


def build_dataset(section: Mapping[str, Any], root: Path | str, training: bool, seed: int = 0) -> TextDataset:
    """Builds the data set of a section: `text_split`, then `read_text_split`."""
    return read_text_split(text_split(section, root, training), seed)
