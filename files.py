"""Reading what others wrote: regular files of bounded size, and names as they are meant."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path
from typing import BinaryIO

from errors import InputError

MAX_LABEL_BYTES = 4 << 20  # of the labels or results of one image; real ones hold some KB

_JUNK = ("thumbs.db", "desktop.ini")  # what Windows leaves in folders, without hiding the name


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a file to read; a pipe would wait for ever, a device may never end.

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
        limit: of its size in bytes; None for any.

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
    """Reads a file in UTF-8, with or without byte-order mark; line ends stay as they are.

    Raises:
        InputError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text; convert the file to UTF-8") from error


def is_hidden(name: str) -> bool:
    """Whether a file name (no path) is hidden, or one that a file manager leaves behind: `._1.txt`, `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _JUNK


def composed(name: str) -> str:
    """A name with composed accents: a Mac's archives hold decomposed ones, which compare as different."""
    return unicodedata.normalize("NFC", name)
