"""Pictures without labels beside a training set: from their maps alone a student can learn of its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from dataset.issues import DataIssues
from dataset.sampler import EpochSampler
from dataset.text.dataset import TextDataset
from dataset.text.parsers.base import TextParser
from dataset.text.records import TextRecord
from dataset.text.samples import TrainSample, TrainTransform
from errors import InputError
from files import IMAGE_SUFFIXES, is_hidden

_STREAM = 2**32  # keeps their random numbers apart from those of the training set


class Pictures(TextParser):
    """All images in a folder and the folders below it, as records without text.

    Args:
        root: the folder.

    Raises:
        InputError: no such folder, or no image in it.
    """

    def __init__(self, root: Path | str) -> None:
        self.root, self.issues = Path(root), DataIssues("data.unlabelled")
        found = sorted(self.root.rglob("*")) if self.root.is_dir() else []
        self.paths = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(p.name) and p.is_file()]
        if not self.paths:
            raise InputError(f"data.unlabelled.root={root!r}: there is no image; give a folder with some")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> TextRecord:
        return TextRecord(self.paths[index])

    @property
    def ground_truth(self) -> Path:
        raise InputError(f"{self.root}: has no labels")


class MixedDataset(Dataset):
    """A training set, and pictures whose indices follow its own.

    Args:
        labelled: the training set.
        root: folder of the pictures.
        transform: augmentation of both.
        seed: seed of the augmentation.

    Attributes:
        pictures: data set of the pictures.
    """

    def __init__(self, labelled: TextDataset, root: Path | str, transform: TrainTransform, seed: int) -> None:
        self.labelled = labelled
        self.pictures = TextDataset(Pictures(root), transform, seed + _STREAM)

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
