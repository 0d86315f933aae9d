"""Writing of rendered data sets: atomic, with a description of all that determines their bytes, in parallel."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2

from errors import InputError, without_interrupts
from files import is_hidden

DESCRIPTION = "synthetic.json"

_MAX_SIDE = 4096

Job, Result = TypeVar("Job"), TypeVar("Result")


def check_request(counts: Mapping[str, int], size: tuple[int, int], least: int, seed: int, workers: int) -> None:
    """Raises InputError if image counts, (width, height) with sides from `least`, seed or workers are out of range."""
    if min(counts.values()) < 0 or not any(counts.values()):
        given = ", ".join(f"{split}={count}" for split, count in counts.items())
        raise InputError(f"{given}: give counts of at least 0 that are not both 0")
    if not all(least <= side <= _MAX_SIDE for side in size):
        raise InputError(f"size {size[0]}x{size[1]}: give a width and a height from {least} to {_MAX_SIDE} px")
    for name, value, lowest in (("seed", seed, 0), ("workers", workers, 1)):
        if value < lowest:
            raise InputError(f"{name} {value}: give an integer of at least {lowest}")


def write_set(
    out: str | Path, description: Mapping[str, Any], write: Callable[[Path], None], overwrite: bool = False
) -> bool:
    """Writes a data set to a temporary folder, then renames it, so that `out` never holds half a set.

    Args:
        out: the root of the data set.
        description: all parameters that determine the bytes of the set, JSON values; written with the set.
        write: function that fills the empty folder it is given.
        overwrite: replace a set of another description.

    Returns:
        True if the set was written, False if `out` already held exactly this one.

    Raises:
        InputError: `out` holds something else, or cannot be written.
    """
    folder = Path(out).resolve()
    description = json.loads(json.dumps(description))
    if _holds(folder, description, overwrite):
        return False
    aside = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        try:
            aside.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{out}: cannot write there ({error.strerror}); give another folder") from error
        write(aside)
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        return _install(aside, folder, description, overwrite)
    except OSError as error:  # errors such as a full disk lack the path
        error.filename = error.filename or str(out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def run_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 1) -> Iterator[Result]:
    """The results of all jobs, in their order; `work` must be picklable where there are several workers."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        with _one_thread():
            yield from map(work, jobs)
        return
    # Spawned, not forked: OpenCV's and torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(32, len(jobs) // (4 * workers)))
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        with without_interrupts():  # starts the processes, which leave Ctrl-C to this one
            results = pool.map(work, jobs, chunksize=chunk)
        yield from results


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits OpenCV to one thread, as in the workers; the images are too small for more to pay off."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _holds(folder: Path, description: dict[str, Any], overwrite: bool) -> bool:
    """True if `folder` holds the set of `description`, False if there is room to write it.

    Raises:
        InputError: anything else is there. `overwrite` lifts that for synthetic sets only: a mistyped
            path must not delete a data set that no seed can reproduce.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{folder}: exists and is not a synthetic data set; move it or give another folder") from None
    if found == description:
        return True
    if overwrite:
        return False
    differs = ", ".join(k for k in description if not isinstance(found, dict) or found.get(k) != description[k])
    raise InputError(
        f"{folder}: holds a synthetic data set made with another {differs}; give --overwrite or another folder"
    )


def _install(aside: Path, folder: Path, description: dict[str, Any], overwrite: bool) -> bool:
    """Renames the complete set to its place; False if another process put the same one there meanwhile."""
    if _holds(folder, description, overwrite):
        return False
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        others = {p.name for p in folder.iterdir() if not is_hidden(p.name)} - {p.name for p in aside.iterdir()}
        if others:
            raise InputError(f"{folder}: holds {min(others)}, which is not of the set; move it, or give another folder")
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return True
