"""Batches for training, from the `data` section of a config."""

from __future__ import annotations

import logging
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from dataset import EpochSampler, MixedBatches, MixedDataset, Pictures
from engine.inference.parallel import start_worker, worker_count
from engine.settings import DataSettings
from engine.tasks.base import Task
from engine.training.processes import Processes
from errors import InputError

logger = logging.getLogger(__name__)


class DataModule(L.LightningDataModule):
    """The training split, shared out among the processes.

    Args:
        task: task that reads the data.
        data: the `data` section.
        seed: random seed of order and augmentation.
        parts: number of parts of an epoch.
        processes: those that share the data out among them.

    Attributes:
        first_epoch: the epoch, or part, in which the run starts or resumes. Worker processes draw their first samples
            before the training library says which epoch it is.

    Raises:
        InputError: the batch cannot be shared out evenly, or the data are missing.
    """

    def __init__(self, task: Task, data: DataSettings, seed: int, parts: int, processes: Processes) -> None:
        super().__init__()
        world_size = processes.number
        batch_size = data.batch_size
        if batch_size is None or batch_size % world_size:
            raise InputError(f"data.batch_size={batch_size!r}: expected a positive multiple of {world_size} processes")
        self.task = task
        self.world_size = world_size
        self.seed = seed
        self.parts = parts
        self.first_epoch = 0
        self.workers = worker_count(data.num_workers, processes.devices)
        self.dataset = task.train_set(data.train, seed)
        self.share = len(self._sampler(rank=0))
        self.mixed = self._mixed(data, seed)
        self.batch_size = min(batch_size // world_size, self.share)  # a set smaller than one batch is taken whole
        task.check_batch(self.dataset, self.batch_size)

    def _mixed(self, data: DataSettings, seed: int) -> MixedDataset | None:
        if data.unlabelled is None:
            return None
        size = data.unlabelled.batch_size
        if size % self.world_size:
            raise InputError(f"data.unlabelled.batch_size={size}: expected a multiple of {self.world_size} processes")
        self.unlabelled = size // self.world_size
        pictures = Pictures(data.unlabelled.root, data.unlabelled.predictions)
        found = sum(map(len, pictures.text))
        logger.info("data.unlabelled: %d pictures; regions of text found in them: %d", len(pictures), found)
        return MixedDataset(self.dataset, pictures, data.train.transform, seed)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one process in an epoch, or in a part of one; the incomplete last one is left out."""
        return self.share // self.batch_size

    def _sampler(self, rank: int) -> EpochSampler:
        return EpochSampler(len(self.dataset), self.seed, self.parts, rank=rank, world_size=self.world_size)

    def train_dataloader(self) -> DataLoader:
        sampler = self._sampler(self.trainer.global_rank if self.trainer else 0)
        sampler.set_epoch(self.first_epoch)
        order: dict[str, Any] = {"batch_size": self.batch_size, "sampler": sampler, "drop_last": True}
        if self.mixed:
            batches = MixedBatches(sampler, self.batch_size, len(self.mixed.pictures), self.unlabelled)
            order = {"batch_sampler": batches}
        return DataLoader(
            self.mixed or self.dataset,
            **order,
            collate_fn=self.task.collate,
            num_workers=self.workers,
            worker_init_fn=start_worker,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )
