"""Pictures without labels beside a training set: from their maps alone a student can learn of its teacher."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import Dataset

from dataset.issues import DataIssues
from dataset.sampler import EpochSampler
from dataset.text.dataset import TextDataset
from dataset.text.parsers.base import TextParser
from dataset.text.records import TextRecord
from dataset.text.samples import TrainSample, TrainTransform
from errors import InputError
from files import IMAGE_SUFFIXES, is_hidden, read_text

_STREAM = 2**32  # keeps their random numbers apart from those of the training set


class Pictures(TextParser):
    """All images in a folder and the folders below it, as people see them, with the text that was found in them.

    Args:
        root: the folder.
        predictions: what `predict.py --json` wrote of it: where crops with text are. None for records without text, so
            that crops lie anywhere.

    Raises:
        InputError: no such folder, or no image in it; or no such file, or one of other pictures.
    """

    upright: ClassVar[bool] = True

    def __init__(self, root: Path | str, predictions: Path | str | None = None) -> None:
        self.root, self.issues = Path(root), DataIssues("data.unlabelled")
        found = sorted(self.root.rglob("*")) if self.root.is_dir() else []
        self.paths = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and not self._hidden(p)]
        if not self.paths:
            raise InputError(f"data.unlabelled.root={root!r}: there is no image; give a folder with some")
        self.text: list[list[np.ndarray]] = [[] for _ in self.paths]
        if predictions is not None:
            self._place(predictions)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> TextRecord:
        polygons = self.text[index]
        return TextRecord(self.paths[index], polygons, np.zeros(len(polygons), bool), [""] * len(polygons))

    def _hidden(self, path: Path) -> bool:
        return any(map(is_hidden, path.relative_to(self.root).parts))

    def _place(self, predictions: Path | str) -> None:
        found = read_predictions(predictions)
        for index, path in enumerate(self.paths):
            if (place := path.resolve()) in found:
                self.text[index] = found[place]
            else:
                self.issues.add(f"pictures without an entry in {predictions}, whose crops lie anywhere", str(path))
        if sum(self.issues.counts.values()) == len(self):
            raise InputError(
                f"data.unlabelled.predictions={str(predictions)!r}: is of none of the {len(self)} pictures in "
                f"{self.root}; write it with predict.py --json, of '{self.root}/**/*.jpg' if they lie in folders below"
            )
        self.issues.log()

    @property
    def ground_truth(self) -> Path:
        raise InputError(f"{self.root}: has no labels")


def read_predictions(path: Path | str) -> dict[Path, list[np.ndarray]]:
    """Polygons (k, 2) float32 of each picture in a file of `predict.py --json`, in pixels of the upright picture.

    Returns:
        By resolved path of the picture; videos are left out.

    Raises:
        InputError: the file cannot be read, or is not of text in pictures.
    """
    try:
        pictures = [entry for entry in json.loads(read_text(path, limit=None))["images"] if "frames" not in entry]
        return {Path(entry["file"]).resolve(): _polygons(entry["detections"]) for entry in pictures}
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"data.unlabelled.predictions={str(path)!r}: expected what predict.py --json writes of text in pictures "
            f"({type(error).__name__}: {error})"
        ) from error


def _polygons(detections: Any) -> list[np.ndarray]:
    polygons = [np.array(found["polygon"], np.float32).reshape(-1, 2) for found in detections]
    if any(len(polygon) < 3 or not np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a polygon of less than 3 points, or not of numbers")
    return polygons


class MixedDataset(Dataset):
    """A training set, and pictures whose indices follow its own.

    Args:
        labelled: the training set.
        pictures: the pictures.
        transform: augmentation of both.
        seed: seed of the augmentation.

    Attributes:
        pictures: data set of the pictures.
    """

    def __init__(self, labelled: TextDataset, pictures: Pictures, transform: TrainTransform, seed: int) -> None:
        self.labelled = labelled
        self.pictures = TextDataset(pictures, transform, seed + _STREAM)

    def __getitem__(self, key: tuple[int, int]) -> TrainSample:
        epoch, index = key
        if index < len(self.labelled):
            return self.labelled[key]
        return replace(self.pictures[epoch, index - len(self.labelled)], labelled=False)


class MixedBatches:
    """Batches of keys of a MixedDataset: a batch of the training set, then a number of pictures.

    The pictures are gone through in a new order each time, at their own pace. Which come into a batch is a function of
    seed, epoch and batch; so it is the same wherever a run is resumed.

    Args:
        sampler: of the training set.
        batch_size: labelled images in a batch of this process.
        pictures: number of the pictures.
        share: pictures in a batch of this process.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, pictures: int, share: int) -> None:
        self.sampler, self.batch_size, self.pictures, self.share = sampler, batch_size, pictures, share

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        own, labelled = self.sampler, iter(self.sampler)
        done = (own.epoch * own.parts + own.part) * len(self)
        for number in range(len(self)):
            first = ((done + number) * own.world_size + own.rank) * self.share
            pictures = [self._picture(place) for place in range(first, first + self.share)]
            yield [next(labelled) for _ in range(self.batch_size)] + pictures

    def _picture(self, place: int) -> tuple[int, int]:
        time, at = divmod(place, self.pictures)
        return time, self.sampler.length + int(_order(self.pictures, self.sampler.seed, time)[at])


@lru_cache(maxsize=2)
def _order(length: int, seed: int, time: int) -> np.ndarray:
    return np.random.default_rng([seed + _STREAM, time, length]).permutation(length)
