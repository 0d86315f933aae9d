"""Processes of a group, and waiting for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator


def members(group: int) -> list[int]:
    """Processes of a group that still run."""
    return [process for process, _, own in _running() if own == group]


def descendants(parent: int) -> list[int]:
    """Running processes that a process has started, and that these have started."""
    children = [process for process, own, _ in _running() if own == parent]
    return [each for child in children for each in (*descendants(child), child)]


def _running() -> Iterator[tuple[int, int, int]]:
    """Process, parent and group of every process that is no zombie."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent, group = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            yield int(name), int(parent), int(group)


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
