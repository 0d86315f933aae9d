"""What the engine needs to know of a task: text detection and object detection are one each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.data import Dataset

from distillation import Learner

Track = Callable[[Iterable, int], Iterable]  # wraps an iteration of known length, to show progress


def silent(items: Iterable, total: int) -> Iterable:
    """The Track that shows nothing."""
    return items


class Task(ABC):
    """Data, networks and measurement of a task. `results` below are whatever `predict` returns.

    Attributes:
        scores: what a summary holds that is logged and listed.
        headline: the score that decides which checkpoint is the best.
        settings: class of the `test_cfg` section.
        collate: makes a batch of training samples.
    """

    scores: ClassVar[tuple[str, ...]]
    headline: ClassVar[str]
    settings: ClassVar[type]
    collate: ClassVar[Callable]

    @abstractmethod
    def check(self, cfg: Mapping[str, Any]) -> None:
        """Checks what a config of this task must have beyond its networks."""

    @abstractmethod
    def check_split(self, field: str, split: Any, training: bool) -> None:
        """Checks the keys of `data.train` or `data.test`."""

    @abstractmethod
    def try_out(self, detector: nn.Module) -> None:
        """Runs a network in evaluation mode on a small image of zeros: parts that do not fit show here."""

    @abstractmethod
    def check_student(self, student: nn.Module, data: Mapping[str, Any], dataset: Dataset | None) -> None:
        """Whether a network can be trained with the `data` section, whose training split is `dataset`."""

    @abstractmethod
    def supervised(self, student: nn.Module, loss: nn.Module | None) -> Learner:
        """The learner without a teacher."""

    @abstractmethod
    def train_set(self, data: Mapping[str, Any], seed: int) -> Dataset:
        """The training split; has `issues`."""

    @abstractmethod
    def test_set(self, data: Mapping[str, Any], settings: Any) -> Dataset:
        """The test split; its labels are read once, so that a mistake in them shows at once."""

    @abstractmethod
    def predict(
        self,
        detector: nn.Module,
        dataset: Dataset,
        settings: Any,
        device: torch.device,
        precision: str = "32",
        indices: Sequence[int] | None = None,
        workers: int = 0,
        track: Track = silent,
    ) -> dict:
        """Detects in the images of a test set.

        Args:
            detector: in evaluation mode, on `device`.
            dataset: from `test_set`.
            indices: the images to take; all by default.
            workers: processes that read and resize images.
            track: shows progress.

        Returns:
            One entry for each image, so that results of several processes can be merged.
        """

    @abstractmethod
    def stages(
        self, detector: nn.Module, dataset: Dataset, settings: Any, device: torch.device, precision: str
    ) -> dict[str, Callable]:
        """The steps of `predict` by name: the first takes an index of the test set, each other what the last gave."""

    @abstractmethod
    def score(self, results: dict, dataset: Dataset, settings: Any, path: str | Path) -> dict[str, Any]:
        """Writes result files in the benchmark's format to `path`, and scores these files on their images.

        Returns:
            The summary of the protocol: `protocol`, `variant`, `scores`, and more.
        """

    @abstractmethod
    def table(self, summary: Mapping[str, Any]) -> str:
        """The summary as lines of text."""

    @abstractmethod
    def save_pictures(self, folder: Path, dataset: Dataset, indices: Sequence[int], results: dict) -> None:
        """Writes FOLDER/NAME.jpg with the detections drawn on each image."""
