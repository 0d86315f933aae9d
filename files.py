"""Reading of untrusted files (regular, of bounded size), and checks of places to write to."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from errors import InputError

MAX_LABEL_BYTES = 4 << 20  # bytes of a label or result file of one image; real ones have a few KB

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm", ".pbm",
    ".jfif", ".avif",
)  # fmt: skip

_JUNK = ("thumbs.db", "desktop.ini", "__macosx")  # left in folders by Windows, and in archives by Macs, without a dot


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a regular file to read: a pipe could block for ever, a device may be endless.

    Raises:
        InputError: there is no such file, it may not be read, or it is a folder, pipe, socket or device.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: is no regular file, but a folder, pipe or device; name a file")
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path and rights") from error
    except ValueError as error:  # a name that no file can have
        raise InputError(f"{str(path)!r}: cannot be opened ({error}); correct the name") from error


def read_bytes(path: Path | str, limit: int | None = MAX_LABEL_BYTES) -> bytes:
    """Reads a regular file.

    Args:
        path: the file.
        limit: largest size in bytes; None for any.

    Raises:
        InputError: it cannot be opened or read, or is larger.
    """
    with open_regular(path) as file:
        if limit is not None and os.fstat(file.fileno()).st_size > limit:
            raise InputError(f"{path}: is larger than {limit:,} bytes, which no such file is; replace or remove it")
        try:
            return file.read()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); copy the file again") from error


def read_text(path: Path | str, limit: int | None = MAX_LABEL_BYTES) -> str:
    """Reads a file in UTF-8, with or without byte-order mark; line ends are kept.

    Raises:
        InputError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text; convert the file to UTF-8") from error


def is_hidden(name: str) -> bool:
    """True if a file name (no path) is hidden, or left behind by a file manager: `._1.txt`, `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _JUNK


def composed(name: str) -> str:
    """A name with composed accents: archives made on a Mac hold decomposed ones, which compare as different."""
    return unicodedata.normalize("NFC", name)


def check_output(field: str, path: Path | str, inputs: Iterable[Path | str] = (), folder: bool = True) -> None:
    """Checks a place that a command is going to write to, before its work.

    Args:
        field: option or config key that names the place, for messages.
        path: path of a folder or of a file.
        inputs: folders and files that the command, or any later one, reads; links are followed.
        folder: True if `path` is a folder.

    Raises:
        InputError: the place is one of the inputs, lies in a folder of them or holds one, or cannot be written.
    """
    place = Path(path).resolve()
    for one in map(Path, inputs):
        own = one.resolve()
        if place == own or own in place.parents or (folder and place in own.parents and own.is_dir()):
            how = "is" if place == own else "lies in" if own in place.parents else "holds"
            raise InputError(f"{field} {path}: {how} {one}, which is read and would be lost; name another place")
    existing = next(p for p in (place, *place.parents) if p.exists())
    if (folder != existing.is_dir() and existing == place) or (existing != place and not existing.is_dir()):
        kind = "a folder" if existing.is_dir() else "a file"
        raise InputError(f"{field} {path}: {existing} is {kind} (Not a directory); name another place")
    try:
        with tempfile.TemporaryFile(dir=existing if existing.is_dir() else existing.parent):
            pass
    except OSError as error:
        raise InputError(f"{field} {path}: cannot be written: {error.strerror}; name another place") from error


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` when the block ends without an error.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as error:
        error.filename = error.filename if error.filename not in (None, str(aside), aside) else str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def file_sha256(path: str | Path) -> str:
    """Hash of a file; InputError if there is none."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def files_sha256(paths: Iterable[str | Path]) -> str:
    """Hash of the names and contents of files, in their order; InputError if one cannot be read."""
    paths = list(map(Path, paths))
    digest = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for path, content in zip(paths, pool.map(file_sha256, paths)):
            digest.update(f"{path.name}\n{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
