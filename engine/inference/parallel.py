"""Parallel map over a stream of items: in order, and with few items in flight."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import Queue
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

import cv2
import torch

from engine.inference.flow import bounded_map
from errors import without_interrupts

Item, Result = TypeVar("Item"), TypeVar("Result")


def worker_count(given: int | None, processes: int = 1) -> int:
    """Number of workers: the given one, or the cores of this machine divided by the training processes, 8 at most."""
    return min(8, (os.cpu_count() or 1) // processes) if given is None else given


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int, backlog: int
) -> Iterator[Result]:
    """`map` computed in `processes` processes (0: in this one) while the next items are being made.

    Results come in the order of the items. When `backlog` items are in flight, no further one is taken before the
    first of them is done. Exceptions of a process are raised here. The processes end with the iterator, also if it is
    closed before its end, and with this process, however that ends; Ctrl-C is left to this process.

    Like those of a DataLoader, they are started by the platform's default method: a fork on Linux before Python 3.14.
    State inherited from a process that runs CUDA and threads does no harm, since they use neither.

    Args:
        function: function of an item; must be picklable, like items and results.
        backlog: largest number of items in flight, 1 or more; at least `processes` to keep all of them busy.
    """
    if not processes:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context(), _start_process)
    try:
        with without_interrupts():  # a pool started only in part could not be shut down
            pool.submit(os.getpid)  # starts the processes
        yield from bounded_map(function, items, pool, backlog)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def start_worker(_: int) -> None:
    """For `DataLoader(worker_init_fn=)`: ends the process if a batch finds no shared memory.

    By default the batch is lost, and the main process waits for it for ever. A main process that has ended while it
    took a batch is no error of this one.
    """
    Queue._on_queue_feeder_error = staticmethod(_end_process)
    sys.excepthook = _without_receiver  # which the thread that hands over shared memory calls


def _without_receiver(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, ConnectionError):
        sys.__excepthook__(kind, error, trace)


def _end_process(error: Exception, _: Any) -> None:
    if "shared memory" not in str(error):  # which the main process reports
        traceback.print_exception(error)
    os._exit(1)
