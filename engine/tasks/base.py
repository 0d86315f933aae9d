"""What the engine needs to know of a task: text detection and object detection are one each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from distillation import Learner
from engine.inference.parallel import ordered_map, start_worker
from engine.inference.pipeline import NetworkInput, NetworkOutput, network_outputs

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
    def check_batch(self, dataset: Dataset, batch_size: int) -> None:
        """Whether a training split can be learnt from in batches of so many images in a process."""

    @abstractmethod
    def test_set(self, data: Mapping[str, Any], settings: Any) -> Dataset:
        """The test split; its labels are read once, so that a mistake in them shows at once."""

    @abstractmethod
    def check_labels(self, detector: nn.Module, dataset: Dataset) -> None:
        """Whether what a network detects can be scored on a test set: InputError for other classes."""

    def predict(
        self,
        detector: nn.Module,
        dataset: Dataset,
        settings: Any,
        device: torch.device,
        precision: str = "32",
        indices: Sequence[int] | None = None,
        workers: int = 0,
        batch_size: int = 1,
        track: Track = silent,
    ) -> dict:
        """Detects in the images of a test set: reading, network and post-processing at the same time.

        Args:
            detector: in evaluation mode, on `device`.
            dataset: from `test_set`.
            indices: the images to take; all by default.
            workers: processes that read and resize images, and as many that post-process; 0: all in this process.
            batch_size: most images in a batch. Only images of one size share one, so that none is padded.
            track: shows progress.

        Returns:
            One entry for each image, in the order of `indices`, so that results of several processes can be merged.
        """
        indices = range(len(dataset)) if indices is None else indices
        loader = DataLoader(
            Subset(dataset, indices),
            batch_size=None,
            num_workers=workers,
            collate_fn=self.network_input,
            worker_init_fn=start_worker,
        )
        results: dict = {}

        def inputs() -> Iterator[NetworkInput]:
            for item in track(loader, len(indices)):
                results[item.key] = None  # its place: batches come in another order
                yield item

        outputs = network_outputs(self, detector, inputs(), device, precision, batch_size)
        finish = partial(finish_output, self.post_processing(detector, dataset, settings))
        backlog = 2 * (batch_size + workers)  # enough for a batch to wait while the next one is in the network
        with closing(ordered_map(finish, outputs, workers, backlog)) as found:
            results.update(found)
        return results

    @abstractmethod
    def network_input(self, sample: Any) -> NetworkInput:
        """What the network takes of a sample of the test set."""

    @abstractmethod
    def network(self, detector: nn.Module, images: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """What the network makes of each image of a batch.

        Args:
            images: (B, 3, H, W) on the device, which is not waited for.
            sizes: (h, w) of each image, without padding.
        """

    @abstractmethod
    def post_processing(self, detector: nn.Module, dataset: Dataset, settings: Any) -> Callable[..., Any]:
        """What makes the result of an image, in pixels of its file: a function that can be pickled.

        It is called with the outputs of `network` as arrays by their names, `size`, (h, w) of the network input, and
        `original_size`, (h0, w0) of the image file.
        """

    @abstractmethod
    def check_result_path(self, field: str, path: Path, data: Sequence[Path]) -> None:
        """Checks where `write` is going to write, before anything is predicted.

        Args:
            field: what named the place, for messages.
            data: places that data are read from, which must not be overwritten.
        """

    @abstractmethod
    def write(self, results: dict, dataset: Dataset, settings: Any, path: str | Path) -> Path:
        """Writes result files in the benchmark's format to `path`, or into it; returns what was written."""

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
    def highest(
        self, detector: nn.Module, dataset: Dataset, settings: Any, device: torch.device, precision: str
    ) -> str:
        """One line for a network that has detected nothing at all: how far it was from doing so."""

    @abstractmethod
    def table(self, summary: Mapping[str, Any]) -> str:
        """The summary as lines of text."""

    @abstractmethod
    def save_pictures(self, folder: Path, dataset: Dataset, indices: Sequence[int], results: dict) -> None:
        """Writes FOLDER/NAME.jpg with the detections drawn on each image."""


def finish_output(post_processing: Callable[..., Any], output: NetworkOutput) -> tuple[Hashable, Any]:
    """Key and result of an image."""
    return output.key, post_processing(**output.arrays, size=output.size, original_size=output.original_size)
