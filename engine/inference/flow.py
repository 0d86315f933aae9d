"""Streams of images: progress, batches of one size, and work with a bounded backlog. Needs no torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")
Track = Callable[[Iterable, int], Iterable]  # wraps an iteration of known length, to show progress
WAITING = 4  # batches of images that wait for others of their size


def silent(items: Iterable, total: int) -> Iterable:
    """The Track that shows nothing."""
    return items


def same_size_batches(inputs: Iterable[Any], batch_size: int) -> Iterator[list[Any]]:
    """Groups items by the shape of their `image` into batches, so that none is padded for another.

    A batch is yielded when it is full, all others at the end. When `WAITING` times `batch_size` images wait, the
    largest batch goes before it is full: that bounds the memory where images have many sizes.
    """
    batches: dict[tuple[int, ...], list[Any]] = {}
    for item in inputs:
        shape = tuple(item.image.shape)
        batches.setdefault(shape, []).append(item)
        if len(batches[shape]) == batch_size:
            yield batches.pop(shape)
        elif sum(map(len, batches.values())) == WAITING * batch_size:
            yield batches.pop(max(batches, key=lambda shape: len(batches[shape])))
    yield from batches.values()


def bounded_map(
    function: Callable[[Item], Result], items: Iterable[Item], pool: Executor | None, backlog: int
) -> Iterator[Result]:
    """`map` in a pool (None: in this thread), in order, with at most `backlog` items, 1 or more, in flight."""
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= backlog:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
