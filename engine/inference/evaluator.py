"""Detection in a test set: device, precision, batch size and number of processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from engine.experiment import Experiment
from engine.inference.flow import Track, silent
from engine.inference.parallel import ordered_map, start_worker, worker_count
from engine.inference.pipeline import network_outputs
from engine.tasks import TASKS
from engine.tasks.base import NetworkInput, NetworkOutput
from engine.training.checkpoint import load_detector
from models.fuse import fuse_batch_norm

logger = logging.getLogger(__name__)


class Evaluator:
    """Detects in the images of a test set, and scores what was found.

    Reading, network and post-processing work at the same time.

    Args:
        detector: network in evaluation mode, on `device`.
        settings: the test_cfg section, of the detector's task.
        device: device of the network.
        precision: '32', 'bf16' or '16'.
        batch_size: largest number of images in a batch. Only images of one size share a batch, so that none is padded.
        workers: number of processes that read and resize, and of those that post-process; 0: all in this process.
    """

    def __init__(
        self,
        detector: nn.Module,
        settings: Any,
        device: torch.device,
        precision: str = "32",
        batch_size: int = 1,
        workers: int = 0,
    ) -> None:
        self.detector = detector
        self.task = TASKS[detector.task]
        self.settings = settings
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.workers = workers

    @classmethod
    def of(
        cls, cfg: Experiment, checkpoint: str | Path, device: torch.device, precision: str, batch_size: int
    ) -> tuple[Evaluator, dict[str, Any]]:
        """The detector of a checkpoint, for the test set of an experiment, and the rest of the checkpoint.

        Thresholds are those of the experiment. If the checkpoint keeps others, the log says so.

        Raises:
            InputError: see load_detector.
        """
        detector, about = load_detector(cfg.model, checkpoint)
        _log_other_thresholds(cfg.test_cfg, checkpoint, about.get("config"))
        workers = worker_count(cfg.data.num_workers)
        return cls(fuse_batch_norm(detector).to(device), cfg.test_cfg, device, precision, batch_size, workers), about

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


def finish_output(post_processing: Callable[..., Any], output: NetworkOutput) -> tuple[Hashable, Any]:
    """Key and result of an image."""
    return output.key, post_processing(**output.arrays, size=output.size, original_size=output.original_size)


def _log_other_thresholds(settings: Any, checkpoint: str | Path, config: Any) -> None:
    kept = config.get("test_cfg") if isinstance(config, Mapping) else None
    if not isinstance(kept, Mapping):
        return
    thresholds = getattr(settings, "thresholds", {})
    other = [name for name, value in thresholds.items() if kept.get(name, value) != value]
    if other:
        there, here = (", ".join(f"{name}={of[name]!r}" for name in other) for of in (kept, thresholds))
        logger.info("%s: keeps %s; read with %s, as the config has it", checkpoint, there, here)
