"""Batches for training and images for testing, from the `data` section of a config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from dataset import EpochSampler, TextDataset, build_dataset, collate
from errors import InputError


def test_set(data: Mapping[str, Any]) -> TextDataset:
    """The test split of the `data` section."""
    return build_dataset(data["test"], data["root"], training=False)


test_set.__test__ = False  # not a test case, whatever pytest makes of the name


def worker_count(data: Mapping[str, Any], processes: int = 1) -> int:
    """`data.num_workers`, or the cores of this machine divided by the training processes, 8 at most."""
    given = data.get("num_workers")
    return min(8, (os.cpu_count() or 1) // processes) if given is None else given


class TextDataModule(L.LightningDataModule):
    """The training split, shared out among the processes.

    Args:
        data: the `data` section; `batch_size` counts the images of all processes together.
        seed: of order and augmentation.
        world_size: number of processes.

    Raises:
        InputError: the batch cannot be shared out evenly, or the data are missing.
    """

    def __init__(self, data: Mapping[str, Any], seed: int, world_size: int) -> None:
        super().__init__()
        batch_size = data.get("batch_size")
        if not isinstance(batch_size, int) or batch_size < 1 or batch_size % world_size:
            raise InputError(f"data.batch_size={batch_size!r}: expected a positive multiple of {world_size} processes")
        self.world_size = world_size
        self.seed = seed
        self.workers = worker_count(data, world_size)
        self.dataset = build_dataset(data["train"], data["root"], training=True, seed=seed)
        # A set smaller than one batch is taken whole instead of not at all.
        self.batch_size = min(batch_size // world_size, -(-len(self.dataset) // world_size))

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one process; the incomplete last one is left out."""
        return -(-len(self.dataset) // self.world_size) // self.batch_size

    def train_dataloader(self) -> DataLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        sampler = EpochSampler(len(self.dataset), self.seed, rank=rank, world_size=self.world_size)
        return DataLoader(
            self.dataset,
            self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            drop_last=True,
            num_workers=self.workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )
