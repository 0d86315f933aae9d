"""What a parser of text annotations is, and what all of them need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from annotations import Instance
from dataset.issues import DataIssues
from dataset.records import TextRecord
from errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
ELSEWHERE = "point elsewhere with --cfg-options data.root=PATH or in the config, field data.root"


class TextParser(ABC):
    """One split of a benchmark, read from the folder layout it is published in: a sequence of records.

    A subclass is registered in PARSERS under the name that configurations use, and needs nothing but
    `__len__`, `__getitem__` and `ground_truth`; where there is one annotation file for each image,
    `FilePairParser` gives the first two. Any further keyword of a subclass's constructor may stand in the
    configuration of the split.

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
        """The annotation folder or file of the split, as the benchmark's evaluation protocol reads it.

        Raises:
            InputError: the benchmark has none.
        """


class FilePairParser(TextParser):
    """A benchmark with one annotation file for each image.

    All annotations are read at once, so that a mistake in any of them shows before training starts. Polygons
    that enclose nothing are left out and counted in `issues`.
    """

    def __init__(self, root: Path | str, split: str) -> None:
        super().__init__(root, split)
        self.records = [self._record(image, annotation) for image, annotation in self.list_split()]
        self.issues.log()

    @abstractmethod
    def list_split(self) -> list[tuple[Path, Path]]:
        """The (image, annotation) files of the split, in the order of the image names."""

    @staticmethod
    @abstractmethod
    def read(annotation: Path) -> list[Instance]:
        """The instances of one annotation file; a reader of `annotations` on its content."""

    def ignores(self, instance: Instance) -> bool:
        """Whether an instance neither counts as text nor as background in training."""
        return instance.transcription == "###"

    def _record(self, image: Path, annotation: Path) -> TextRecord:
        kept = []
        for instance in self.read(annotation):
            flaw = flaw_of(instance.polygon)
            if flaw is None:
                kept.append(instance)
            else:
                self.issues.add(flaw, instance.where)
        polygons = [instance.polygon.astype(np.float32) for instance in kept]
        ignore = np.array([self.ignores(instance) for instance in kept], bool)
        return TextRecord(image, polygons, ignore, [instance.transcription for instance in kept])

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TextRecord:
        return self.records[index]


def require_folders(root: Path, *folders: Path) -> None:
    """Checks that the data root and folders of it are there.

    Raises:
        InputError: names the first that is not.
    """
    missing = next((path for path in (root, *folders) if not path.is_dir()), None)
    if missing is not None:
        raise InputError(f"data root {root}: no folder {missing.absolute()}; put the data there, or {ELSEWHERE}")


def list_images(root: Path, folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The images in a folder of the data root, by name; suffixes in any case, hidden files are passed over.

    Raises:
        InputError: the root or the folder is missing, holds no image, or holds two images of the same stem
            (results are written under the stem).
    """
    require_folders(root, folder)
    files = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    images = sorted(files, key=lambda p: p.name)
    if not images:
        kinds = " ".join(suffixes)
        raise InputError(f"data root {root}: no image ({kinds}) in {folder.absolute()}; put some there, or {ELSEWHERE}")
    stems: dict[str, Path] = {}
    for image in images:
        other = stems.setdefault(image.stem, image)
        if other is not image:
            raise InputError(f"{image}: has the same name as {other.name}; rename or remove one of them")
    return images


def annotation_of(image: Path, folder: Path, *names: str) -> Path:
    """The annotation file of an image: the one of the names that exists.

    Raises:
        InputError: none does, or several do.
    """
    there = [name for name in names if (folder / name).is_file()]
    if len(there) == 1:
        return folder / there[0]
    if there:
        raise InputError(f"{folder / there[0]}: stands beside {there[1]}; keep one annotation file for each image")
    missing = " or ".join([str(folder / names[0]), *names[1:]])
    raise InputError(f"{image}: has no annotation file {missing}; add it (it may be empty) or remove the image")


def flaw_of(points: np.ndarray) -> str | None:
    """What is wrong with points (k, 2) that enclose nothing, as DataIssues counts it; None for a polygon."""
    if len(set(map(tuple, points.tolist()))) < 3:
        return "polygons with < 3 distinct points ignored"
    if cv2.contourArea(cv2.convexHull(points.astype(np.float32))) <= 0:
        return "polygons with all points on one line ignored"
    return None
