"""What a parser of text annotations is, and what all of them need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dataset.issues import DataIssues
from dataset.records import TextRecord
from errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_COORDINATE = 1e6  # pixels; anything larger is a damaged number, and would overflow the rasteriser


class TextParser(ABC):
    """One split of a benchmark, read from the folder layout it is published in: a sequence of records.

    A subclass is registered in PARSERS under the name that configurations use, and needs nothing but
    `__len__` and `__getitem__`; where there is one annotation file for each image, `FilePairParser` gives
    both. Any further keyword of a subclass's constructor may stand in the configuration of the split.

    Args:
        root: folder of the benchmark, as in `data.root`.
        split: one of `splits`.

    Raises:
        InputError: unknown split, missing or empty folder, or an annotation that cannot be read.
    """

    splits: tuple[str, ...] = ("train", "test")

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

    @property
    @abstractmethod
    def ground_truth(self) -> Path:
        """The annotation folder or file of the split, as the benchmark's evaluation protocol reads it."""


class FilePairParser(TextParser):
    """A benchmark with one annotation file for each image.

    All annotations are read at once, so that a mistake in any of them shows before training starts.
    """

    def __init__(self, root: Path | str, split: str) -> None:
        super().__init__(root, split)
        pairs = self.list_split(self.root, split)
        self.records = [self.parse(annotation, image, self.issues) for image, annotation in pairs]
        self.issues.log()

    @staticmethod
    @abstractmethod
    def list_split(root: Path, split: str) -> list[tuple[Path, Path]]:
        """The (image, annotation) files of a split, in the order of the image names."""

    @staticmethod
    @abstractmethod
    def parse(annotation: Path, image: Path, issues: DataIssues | None = None) -> TextRecord:
        """Reads one annotation file; what is left out of the record is counted in `issues`."""

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TextRecord:
        return self.records[index]


def list_images(root: Path, folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The images in a folder below the data root, by name; hidden files are passed over.

    Raises:
        InputError: the root or the folder is missing, holds no image, or holds two images of the same stem
            (results are written under the stem).
    """
    elsewhere = "point elsewhere with --cfg-options data.root=PATH or in the config, field data.root"
    missing = next((p for p in (root, folder) if not p.is_dir()), None)
    if missing is not None:
        raise InputError(f"data root {root}: no folder {missing.absolute()}; put the data there, or {elsewhere}")
    files = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    images = sorted(files, key=lambda p: p.name)
    if not images:
        kinds = " ".join(suffixes)
        raise InputError(f"data root {root}: no image ({kinds}) in {folder.absolute()}; put some there, or {elsewhere}")
    stems: dict[str, Path] = {}
    for image in images:
        other = stems.setdefault(image.stem, image)
        if other is not image:
            raise InputError(f"{image}: has the same name as {other.name}; rename or remove one of them")
    return images


def annotation_of(image: Path, folder: Path, name: str) -> Path:
    """The annotation file of an image.

    Raises:
        InputError: it does not exist.
    """
    annotation = folder / name
    if not annotation.is_file():
        raise InputError(f"{image}: has no annotation file {annotation}; add it (it may be empty) or remove the image")
    return annotation


def read_text(path: Path) -> str:
    """Reads an annotation file in UTF-8, with or without byte-order mark, any line ends.

    Raises:
        InputError: the file cannot be opened or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path and rights") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text; convert the file to UTF-8") from error


def is_polygon(points: np.ndarray, where: str, issues: DataIssues | None = None) -> bool:
    """False, and counted, for points (k, 2) that enclose nothing: under 3 distinct ones, or on one line."""
    if len(np.unique(points, axis=0)) < 3:
        kind = "polygons with < 3 distinct points ignored"
    elif cv2.contourArea(cv2.convexHull(points.astype(np.float32))) <= 0:
        kind = "polygons with all points on one line ignored"
    else:
        return True
    if issues is not None:
        issues.add(kind, where)
    return False
