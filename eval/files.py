"""Text files out of a folder or a zip, and results written aside before they take their final name."""

import contextlib
import json
import os
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from errors import InputError


def read_texts(path: str | Path, what: str) -> dict[str, tuple[str, str]]:
    """The ``.txt`` files of a folder (not below it) or of a zip (at any depth); others are passed over.

    Args:
        path: folder or zip.
        what: what it should hold, for messages, e.g. "ground truth".

    Returns:
        file name without ``.txt`` -> (where it was read, its text), sorted by name.

    Raises:
        InputError: nothing there, no ``.txt`` file, text that is not UTF-8, a zip that is damaged or has
            entries that lead outside it or bear one name twice.
    """
    path = Path(path)
    if path.is_dir():
        found = {file.stem: (str(file), file.read_bytes()) for file in path.glob("[!.]*.txt") if file.is_file()}
    elif path.is_file():
        found = _read_zip(path, what)
    else:
        raise InputError(f"{path}: no {what} here: give a folder or a .zip of .txt files")
    if not found:
        raise InputError(f"{path}: holds no .txt file: expected {what}, one file an image")
    return {name: (where, _decode(where, raw)) for name, (where, raw) in sorted(found.items())}


def _read_zip(path: Path, what: str) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                inside = PureWindowsPath(entry.filename)  # knows both kinds of slashes, and drives
                if inside.anchor or ".." in inside.parts:
                    raise InputError(f"{path}: entry {entry.filename!r} leads outside the folder: pack it anew")
                hidden = inside.parts[:1] == ("__MACOSX",) or inside.name.startswith(".")
                if entry.is_dir() or inside.suffix != ".txt" or hidden:
                    continue
                if inside.stem in found:
                    raise InputError(f"{path}: two entries are named {inside.name}: keep one for each image")
                found[inside.stem] = (f"{path}/{inside.as_posix()}", archive.read(entry))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # damaged or encrypted
        raise InputError(f"{path}: cannot be read as a .zip of {what}: {error}") from error
    return found


def _decode(where: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text: {error.reason} at byte {error.start}") from error


def write_folder(folder: str | Path, texts: Mapping[str, str]) -> None:
    """Write a folder of files, complete or not at all; an earlier folder of ``.txt`` files is replaced.

    Args:
        folder: where the files go; missing parents are made.
        texts: file name -> text.

    Raises:
        InputError: ``folder`` is a file, holds something other than ``.txt`` files, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file: name a folder for the results")
        foreign = next((f for f in sorted(folder.iterdir()) if f.suffix != ".txt" or not f.is_file()), None)
        if foreign is not None:
            raise InputError(f"{folder}: holds {foreign.name}, which is no result file: name another folder")
    target = folder.resolve()  # a link keeps pointing at the folder
    aside = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:8]}")
    old = target.with_name(f".{target.name}.old-{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        if target.exists():
            target.rename(old)
        try:
            aside.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file aside, then rename it.

    Raises:
        InputError: the place cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
