"""The order of samples, as a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Yields (epoch, index) pairs.

    A dataset that draws its augmentation from (seed, epoch, index) then gives the same samples whatever the
    number of workers and wherever a run is resumed. In a distributed run every process takes each
    `world_size`-th place of one common order; the order is continued from its beginning until all processes
    have equally many.

    Args:
        length: number of samples.
        seed: seed of the order, >= 0.
        parts: number of equal parts of the order of an epoch, each of which the training loop treats as an epoch
            of its own.
        shuffle: use a new permutation every epoch instead of 0..length-1.
        rank, world_size: index of this process, and number of processes.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self, length: int, seed: int = 0, parts: int = 1, shuffle: bool = True, rank: int = 0, world_size: int = 1
    ) -> None:
        if length < 1 or seed < 0 or parts < 1 or not 0 <= rank < world_size:
            raise ValueError(f"EpochSampler: {length} samples, seed {seed}, {parts} parts, rank {rank} of {world_size}")
        self.length, self.seed, self.parts, self.shuffle = length, seed, parts, shuffle
        self.rank, self.world_size = rank, world_size
        self.epoch, self.part = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the epoch, or part, before it begins; Lightning calls this by itself."""
        self.epoch, self.part = divmod(epoch, self.parts)

    def __len__(self) -> int:
        """Number of samples of this process in an epoch, or part."""
        return -(-self.length // (self.parts * self.world_size))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.length)
        if self.shuffle:
            # The length is no index, so this stream is not that of any sample of the epoch.
            np.random.default_rng([self.seed, self.epoch, self.length]).shuffle(order)
        shares = np.resize(order, (self.parts, len(self), self.world_size))
        return ((self.epoch, int(index)) for index in shares[self.part, :, self.rank])
