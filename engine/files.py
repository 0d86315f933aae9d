"""Atomic writing of files, and locks that keep two programs out of one folder."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from errors import InputError
from files import write_aside


def write_tensors(path: str | Path, content: Any) -> None:
    """`torch.save` through a temporary file; a full disk is an OSError that names `path`, unlike with torch alone."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with write_aside(path) as aside:
        aside.write_bytes(buffer.getbuffer())


def remove_leftovers(folder: Path, *patterns: str) -> None:
    """Removes partly written files of killed programs that match `patterns`; the folder must be locked."""
    for pattern in patterns:
        for path in folder.glob(f".{pattern}.*.tmp"):
            path.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: str | Path, patience: float = 10.0) -> Iterator[None]:
    """Makes the folder, and keeps it for this program alone while the block runs.

    The operating system releases the lock when the program ends, even if it is killed.

    Args:
        folder: folder to lock; a file `.lock` is left in it.
        patience: seconds to wait; data loading processes outlive a killed program by up to five.

    Raises:
        InputError: another program holds it.
    """
    with _locked(Path(folder), Path(folder) / ".lock", "folder", patience):
        yield


@contextmanager
def lock_file(path: str | Path, patience: float = 10.0) -> Iterator[None]:
    """Keeps a file for this program alone while the block runs, as `lock_folder` does; `.NAME.lock` is left."""
    path = Path(path)
    with _locked(path, path.with_name(f".{path.name}.lock"), "place", patience):
        yield


@contextmanager
def _locked(what: Path, lock: Path, kind: str, patience: float) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=patience):
            yield
    except Timeout as error:
        raise InputError(f"{what}: another program works there; wait for its end, or name another {kind}") from error


def git_revision() -> str | None:
    """The commit of this checkout, with '+' when files differ from it; None outside a checkout or without git."""
    root = Path(__file__).resolve().parents[1]
    try:
        run = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
