"""Inference with a network: its device, precision, batch size and number of processes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from dataset import read_image
from engine.checks import check_settings
from engine.experiment import Experiment
from engine.inference.parallel import ordered_map, start_worker, worker_count
from engine.inference.pipeline import network_outputs
from engine.precision import check_precision, resolve_device
from engine.tasks import TASKS
from engine.tasks.base import NetworkInput, NetworkOutput
from engine.training.checkpoint import load_detector, own_config, restore_detector
from errors import InputError
from models.fuse import fuse_batch_norm
from models.weights import read_checkpoint

Track = Callable[[Iterable, int], Iterable]  # wraps an iteration of known length, to show progress
Image = np.ndarray | str | Path


def silent(items: Iterable, total: int) -> Iterable:
    """The Track that shows nothing."""
    return items


class Evaluator:
    """Detects in the images of a data set, or in single images.

    Reading, network and post-processing work at the same time.

    Args:
        detector: network in evaluation mode, on `device`.
        settings: the test_cfg section, of the detector's task.
        device: device of the network.
        precision: '32', 'bf16' or '16'.
        batch_size: largest number of images in a batch. Only images of one size share a batch, so that none is padded.
        workers: number of processes that read and resize, and of those that post-process; 0: all in this process.
        transform: transform of `data.test`, for images that belong to no data set, to network input.
    """

    def __init__(
        self,
        detector: nn.Module,
        settings: Any,
        device: torch.device,
        precision: str = "32",
        batch_size: int = 1,
        workers: int = 0,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        self.detector = detector
        self.task = TASKS[detector.task]
        self.settings = settings
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.workers = workers
        self.transform = transform

    @classmethod
    def of(
        cls, cfg: Experiment, checkpoint: str | Path, device: torch.device, precision: str, batch_size: int
    ) -> tuple[Evaluator, dict[str, Any]]:
        """The detector of a checkpoint, for the test set of an experiment, and the rest of the checkpoint.

        Raises:
            InputError: see load_detector.
        """
        detector, about = load_detector(cfg.model, checkpoint)
        workers = worker_count(cfg.data.num_workers)
        return cls(fuse_batch_norm(detector).to(device), cfg.test_cfg, device, precision, batch_size, workers), about

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        device: str = "auto",
        precision: str = "32",
        batch_size: int = 1,
        workers: int = 0,
    ) -> Evaluator:
        """The detector of a checkpoint of train.py, which holds all other settings, too.

        Args:
            device: 'auto', 'cpu' or 'cuda'.

        Raises:
            InputError: no such checkpoint, a damaged one, or one without the config that it was trained with.
        """
        content, place = read_checkpoint(checkpoint), resolve_device(device)
        check_precision(precision, place)
        config = own_config(content, checkpoint)
        detector = fuse_batch_norm(restore_detector(config["model"], content, checkpoint)).to(place)
        task = TASKS[detector.task]
        settings = check_settings("test_cfg", config, task.settings)
        transform = task.test_transform(config["data"].get("test") or {})
        return cls(detector, settings, place, precision, batch_size, workers, transform)

    def __call__(self, images: Image | Sequence[Image]) -> Any:
        """Detects in one image, or in each of a list.

        Args:
            images: an array (H, W, 3) uint8, RGB, or the path of an image file; or a list of these.

        Returns:
            A result, or a list of as many. Text: a list of Detection(polygon (n, 2) float32, score). Objects: a dict
            of `boxes` (n, 4), `labels` (n,) from 1, in the order of `classes`, `scores` (n,) and, for a detector with
            masks and `test_cfg.variant='segm'`, `segmentations`. All in pixels of the given image.

        Raises:
            InputError: a file that cannot be read, or an array of another kind.
        """
        if isinstance(images, (np.ndarray, str, Path)):
            return self([images])[0]
        if self.transform is None:
            raise ValueError("this Evaluator was made without a transform: it detects in data sets only")
        results = self.predict(_Images(list(images), self.transform, self.task.unlabelled))
        return list(results.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of an object detector's labels, from 1; empty for text, and where the checkpoint does not hold them."""
        return tuple(getattr(self.detector, "classes", ()))

    def predict(
        self, dataset: Dataset, indices: Sequence[int] | None = None, track: Track = silent
    ) -> dict[Hashable, Any]:
        """Detects in the images of a test set.

        Args:
            dataset: from `Task.test_set`.
            indices: the images to take; all by default.
            track: shows progress.

        Returns:
            One entry for each image, in the order of `indices`, so that results of several processes can be merged.

        Raises:
            InputError: an image that cannot be read, outputs that are not finite, or classes of the data set that the
                network does not know.
        """
        indices = range(len(dataset)) if indices is None else indices
        finish = partial(finish_output, self.task.post_processing(self.detector, self.settings, dataset))
        loader = DataLoader(
            Subset(dataset, indices),
            batch_size=None,
            num_workers=self.workers,
            collate_fn=self.task.network_input,
            worker_init_fn=start_worker,
        )
        results: dict[Hashable, Any] = {}

        def inputs() -> Iterator[NetworkInput]:
            for item in track(loader, len(indices)):
                results[item.key] = None  # its place: batches come in another order
                yield item

        outputs = network_outputs(self.network, inputs(), self.device, self.precision, self.batch_size)
        backlog = 2 * (self.batch_size + self.workers)  # enough for a batch to wait while the next one is computed
        with closing(ordered_map(finish, outputs, self.workers, backlog)) as found:
            results.update(found)
        return results

    def network(self, images: torch.Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, torch.Tensor]]:
        """Outputs of the network for a batch, see Task.network."""
        return self.task.network(self.detector, images, sizes)

    def evaluate(self, dataset: Dataset, results: dict, path: str | Path) -> dict[str, Any]:
        """Writes result files to `path` and scores them, see Task.score."""
        return self.task.score(results, dataset, self.settings, path)


class _Images(Dataset):
    """Images without labels; the key of each is its place."""

    def __init__(self, images: list[Image], transform: Callable[..., Any], unlabelled: Callable[..., Any]) -> None:
        self.images, self.transform, self.unlabelled = images, transform, unlabelled

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        image = self.images[index]
        path = Path(f"image {index}") if isinstance(image, np.ndarray) else Path(image)
        if not isinstance(image, np.ndarray):
            image = read_image(path)
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"image {index}: an array of shape {image.shape} and type {image.dtype}; expected (H, W, 3) uint8, RGB"
            )
        return self.transform(image, self.unlabelled(path, index), np.random.default_rng(0))


def finish_output(post_processing: Callable[..., Any], output: NetworkOutput) -> tuple[Hashable, Any]:
    """Key and result of an image."""
    return output.key, post_processing(**output.arrays, size=output.size, original_size=output.original_size)
