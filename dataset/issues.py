"""Tolerable defects of a data set: counted, and reported once instead of for every file."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

logger = logging.getLogger(__name__)


class DataIssues:
    """Counts, per kind, the annotations that a parser leaves out.

    Args:
        source: name of the data set in messages, such as 'CTW1500 train'.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str) -> None:
        """Counts one case of `kind` (a plural phrase); `where` names the file and line."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._first.setdefault(kind, where)

    def summary(self) -> list[str]:
        """One line for each kind."""
        return [f"{self.source}: {n} {kind}, first in {self._first[kind]}" for kind, n in self.counts.items()]

    def log(self) -> None:
        """Logs the summary as warnings."""
        for line in self.summary():
            logger.warning(line)


class SampleIssues:
    """Counts, per kind and sample, the defects that appear only when an image is read.

    That happens in the worker processes of a DataLoader, so the counts lie in shared memory: every worker of
    this process and the process itself see the same numbers. A sample that comes back in a later epoch is
    counted once. Processes of a distributed run count separately.

    Args:
        source: name of the data set in messages.
        length: number of samples.
        kinds: plural phrases, one for each kind.
    """

    def __init__(self, source: str, length: int, kinds: Sequence[str]) -> None:
        self.source = source
        self._counts = {kind: torch.zeros(length, dtype=torch.int32).share_memory_() for kind in kinds}

    def mark(self, kind: str, index: int, count: int, where: str) -> None:
        """Sets the count of `kind` in sample `index`; the first case of a kind is logged as a warning."""
        if not count or int(self._counts[kind][index]) == count:
            return
        if not self._counts[kind].any():
            logger.warning("%s: %s: the first in %s", self.source, kind, where)
        self._counts[kind][index] = count

    def samples(self, kind: str) -> int:
        """Number of samples in which `kind` was met so far."""
        return int(torch.count_nonzero(self._counts[kind]))

    def total(self, kind: str) -> int:
        """Number of cases of `kind` met so far."""
        return int(self._counts[kind].sum())

    def summary(self) -> list[str]:
        """One line for each kind that was met."""
        return [f"{self.source}: {self.total(kind)} {kind}" for kind in self._counts if self.total(kind)]
