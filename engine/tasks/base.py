"""Interface between the engine and its tasks, text detection and object detection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset

from dataset import Split
from distillation import Learner


class NetworkInput(NamedTuple):
    """Network input of one image.

    Attributes:
        key: key of the image in the results.
        image: (3, H, W) float32, H and W multiples of 32.
        size: (h, w) in pixels without the padding.
        original_size: (h0, w0) in pixels of the image file.
    """

    key: Hashable
    image: Tensor
    size: tuple[int, int]
    original_size: tuple[int, int]


class NetworkOutput(NamedTuple):
    """Network output for one image, on the host.

    Attributes:
        key, size, original_size: as in NetworkInput.
        arrays: outputs of Task.network by name, as float32 or integers.
    """

    key: Hashable
    size: tuple[int, int]
    original_size: tuple[int, int]
    arrays: dict[str, np.ndarray]


class Task(ABC):
    """Data, networks and measurement of a task. `results` below are what Evaluator.predict returns.

    Attributes:
        takes_unlabelled: True if `data.unlabelled` can be trained on.
        scores: names of the summary's scores that are logged and listed.
        headline: the score that decides which checkpoint is the best.
        settings: class of the `test_cfg` section.
        collate: function that makes a batch of training samples.
    """

    takes_unlabelled: ClassVar[bool] = False
    scores: ClassVar[tuple[str, ...]]
    headline: ClassVar[str]
    settings: ClassVar[type]
    collate: ClassVar[Callable]

    @abstractmethod
    def check(self, cfg: Mapping[str, Any]) -> None:
        """Checks the requirements of this task on a config, beyond its networks."""

    @abstractmethod
    def split(self, field: str, section: Any, root: str, training: bool) -> Split:
        """The split that `data.train` or `data.test` describes, checked; `field` names it in messages."""

    @abstractmethod
    def try_out(self, detector: nn.Module) -> None:
        """Runs a network in evaluation mode on a small image of zeros; fails if its parts do not fit."""

    @abstractmethod
    def check_student(self, student: nn.Module, split: Split, dataset: Dataset | None) -> None:
        """Checks that a network can be trained on a split, which `dataset` reads."""

    @abstractmethod
    def supervised(self, student: nn.Module, loss: nn.Module | None) -> Learner:
        """The learner without a teacher."""

    @abstractmethod
    def train_set(self, split: Split, seed: int) -> Dataset:
        """The training set, read; has `issues`."""

    @abstractmethod
    def check_batch(self, dataset: Dataset, batch_size: int) -> None:
        """Checks that a training split can be learnt in batches of `batch_size` images per process."""

    @abstractmethod
    def test_set(self, split: Split | None, settings: Any) -> Dataset:
        """The test set; its labels are read once, so that an error in them is found at the start.

        Raises:
            InputError: there is no test split, or its labels cannot be scored with.
        """

    @abstractmethod
    def check_labels(self, detector: nn.Module, dataset: Dataset, settings: Any) -> None:
        """Checks that a network's detections can be scored: InputError for other classes, or without masks."""

    @abstractmethod
    def test_transform(self, section: Mapping[str, Any]) -> Callable[..., Any]:
        """Transform of an image to network input, from `data.test` of a checkpoint, possibly of another version."""

    @abstractmethod
    def unlabelled(self, path: Path, key: int) -> Any:
        """The record of an image that belongs to no data set."""

    @abstractmethod
    def network_input(self, sample: Any) -> NetworkInput:
        """Network input of a sample of the test set."""

    @abstractmethod
    def network(self, detector: nn.Module, images: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Network outputs for each image of a batch, by name.

        Args:
            images: (B, 3, H, W) on the device; the call does not wait for the device.
            sizes: (h, w) of each image, without padding.
        """

    @abstractmethod
    def post_processing(self, detector: nn.Module, settings: Any, dataset: Dataset) -> Callable[..., Any]:
        """The function that makes the result of an image, in pixels of its file; it can be pickled.

        It is called with the outputs of `network` as arrays by their names, `size`, (h, w) of the network input, and
        `original_size`, (h0, w0) of the image file.
        """

    @abstractmethod
    def check_result_path(self, field: str, path: Path, data: Sequence[Path]) -> None:
        """Checks where `write` is going to write, before anything is predicted.

        Args:
            field: option or config key that names the place, for messages.
            data: inputs, which must not be overwritten.
        """

    @abstractmethod
    def write(self, results: dict, dataset: Dataset, settings: Any, path: str | Path) -> Path:
        """Writes result files in the benchmark's format to `path`, or into it; returns the path written."""

    @abstractmethod
    def score(self, results: dict, dataset: Dataset, settings: Any, path: str | Path) -> dict[str, Any]:
        """Writes result files as `write` does, and scores these files on their images.

        Returns:
            The summary of the protocol: `protocol`, `variant`, `scores`, and more.
        """

    @abstractmethod
    def count(self, results: dict) -> int:
        """The number of detections."""

    @abstractmethod
    def highest(self, predictor: Any, dataset: Dataset) -> str:
        """One line for an Evaluator without any detection: the threshold, and the highest score if known."""

    @abstractmethod
    def table(self, summary: Mapping[str, Any]) -> str:
        """The summary as lines of text."""

    @abstractmethod
    def save_pictures(self, folder: Path, dataset: Dataset, indices: Sequence[int], results: dict) -> None:
        """Writes FOLDER/NAME.jpg with the detections drawn on each image."""
