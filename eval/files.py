"""Reading of files from a folder or a zip, and atomic writing through temporary files."""

import contextlib
import json
import os
import shutil
import struct
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, BinaryIO, NamedTuple

from errors import InputError
from files import MAX_LABEL_BYTES, composed, is_hidden, open_regular, read_bytes, write_aside

_MAX_DIRECTORY = 16 << 20  # bytes of a zip's directory: 100,000 names or more
_UNPACKED, _RATIO = 64 << 20, 20  # bytes that a zip may unpack to, and further bytes for each packed byte
_ZIP_END = struct.Struct("<4s8xI6x")  # end-of-directory record: signature and size of the directory


class FileNames(NamedTuple):
    """Pattern of file names: one of the prefixes, the image's name, one of the suffixes (in any case)."""

    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(f"{prefix}*{suffix}" for prefix in self.prefixes for suffix in self.suffixes)

    def image_id(self, name: str) -> str:
        """The image's name, with composed accents, in a file name; empty if the file does not match the pattern."""
        prefix = next((prefix for prefix in self.prefixes if name.startswith(prefix)), None)
        suffix = next((suffix for suffix in self.suffixes if name.lower().endswith(suffix)), None)
        return composed(name[len(prefix) : -len(suffix)]) if suffix and prefix is not None else ""


def read_files(path: str | Path, what: str, names: FileNames) -> dict[str, tuple[str, bytes]]:
    """Reads one file per image from a folder (without subfolders) or a zip (at any depth).

    A folder may hold files of other suffixes, a zip may not. Hidden files are skipped.

    Args:
        path: folder or zip.
        what: description of the expected content, for messages, e.g. "CTW1500 ground truth".
        names: pattern of the file names.

    Returns:
        image id -> (path for messages, content), sorted by image id.

    Raises:
        InputError: no files, a file name that does not match, two files of one image, a file that cannot be
            read, a zip that is damaged, encrypted, out of proportion or has entries that lead outside it.
    """
    path = Path(path)
    if path.is_dir():
        entries = _folder_entries(path, names)
    elif path.is_file():
        entries = _zip_entries(path, what)
    else:
        raise InputError(f"{path}: no {what} here: give a folder or a .zip of {names} files")
    found: dict[str, tuple[str, bytes]] = {}
    for name, where, raw in entries:
        image_id = names.image_id(name)
        if not image_id:
            raise InputError(f"{where}: is no file of {what}, which are named {names}: rename or remove it")
        if image_id in found:
            raise InputError(f"{where}: is the second file of image {image_id!r}: keep one for each image")
        found[image_id] = where, raw
    if not found:
        raise InputError(f"{path}: holds no {names} file: expected {what}, one file an image")
    return dict(sorted(found.items()))


def _folder_entries(path: Path, names: FileNames) -> Iterator[tuple[str, str, bytes]]:
    try:
        for file in sorted(path.iterdir()):
            if not is_hidden(file.name) and file.suffix.lower() in names.suffixes and not file.is_dir():
                yield file.name, str(file), read_bytes(file)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _zip_entries(path: Path, what: str) -> Iterator[tuple[str, str, bytes]]:
    left = _UNPACKED + _RATIO * path.stat().st_size
    try:
        with open_regular(path) as file:
            _check_directory(file, path)
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    inside = PureWindowsPath(entry.filename)  # handles both kinds of slashes, and drives
                    if inside.anchor or ".." in inside.parts:
                        raise InputError(f"{path}: entry {entry.filename!r} leads outside the folder: pack it anew")
                    if not entry.is_dir() and not _is_hidden(inside):
                        raw = _unpacked(archive, entry, f"{path}/{inside.as_posix()}")
                        left -= len(raw)
                        if left < 0:
                            raise InputError(f"{path}: unpacks to {_RATIO} times its size and more: pack it anew")
                        yield inside.name, f"{path}/{inside.as_posix()}", raw
    except InputError:
        raise
    except Exception as error:  # the reader raises many types for a damaged or encrypted file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a .zip of {what}: {reason}: pack it anew") from error


def _check_directory(file: BinaryIO, path: Path) -> None:
    """Refuses a large directory, because the reader would load the whole of it into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - _ZIP_END.size))
    end = file.read()
    at = end.rfind(b"PK\5\6")
    if 0 <= at <= len(end) - _ZIP_END.size and _ZIP_END.unpack_from(end, at)[1] > _MAX_DIRECTORY:
        raise InputError(f"{path}: lists its files in more than {_MAX_DIRECTORY:,} bytes: pack fewer files")
    file.seek(0)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others may ask for gigabytes
        raise InputError(f"{where}: is packed by method {entry.compress_type}: pack it anew, by the usual one, deflate")
    with archive.open(entry) as file:
        raw = file.read(MAX_LABEL_BYTES + 1)
    if len(raw) > MAX_LABEL_BYTES:
        raise InputError(f"{where}: unpacks to more than {MAX_LABEL_BYTES:,} bytes, which no such file has: remove it")
    return raw


def _is_hidden(inside: PurePath) -> bool:
    return any(map(is_hidden, inside.parts))


def decode(raw: bytes, where: str) -> str:
    """Decodes UTF-8 text, with or without byte-order mark.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text: {error.reason} at byte {error.start}") from error


def check_folder(folder: Path) -> None:
    """InputError if `write_folder` would refuse to replace the folder."""
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file: name a folder for the results")
        _refuse_foreign(folder, [f.name if f.is_file() else f"{f.name}/" for f in folder.iterdir()])


def check_zip(path: Path) -> None:
    """InputError if `write_zip` would refuse to replace the file."""
    if path.exists():
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: is no .zip of results: name another place for the results")
        with zipfile.ZipFile(path) as earlier:
            _refuse_foreign(path, earlier.namelist())


def write_folder(folder: str | Path, texts: Mapping[str, str]) -> None:
    """Write a folder of files, complete or not at all; an earlier folder of ``.txt`` files is replaced.

    Hidden files in it, which file managers and notebooks leave, stay.

    Args:
        folder: folder of the files; missing parents are made.
        texts: file name -> text.

    Raises:
        InputError: ``folder`` is a file, holds something other than ``.txt`` files, or cannot be written.
    """
    folder = Path(folder)
    check_folder(folder)
    target = folder.resolve()  # a symbolic link to the folder is kept
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
        for hidden in [file for file in old.glob("*") if is_hidden(file.name)]:
            with contextlib.suppress(OSError):
                hidden.rename(target / hidden.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _refuse_foreign(place: Path, names: list[str]) -> None:
    foreign = [n for n in sorted(names) if not n.lower().endswith(".txt") and not _is_hidden(PureWindowsPath(n))]
    if foreign:
        raise InputError(f"{place}: holds {foreign[0]}, which is no result file: name another place for the results")


def write_zip(path: str | Path, texts: Mapping[str, str]) -> None:
    """Write a zip of files, complete or not at all; an earlier zip of ``.txt`` files is replaced.

    Args:
        path: the zip; missing parent folders are made.
        texts: file name -> text.

    Raises:
        InputError: ``path`` is something else than a zip of ``.txt`` files, or cannot be written.
    """
    path = Path(path)
    check_zip(path)
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file through a temporary file.

    Raises:
        InputError: the place cannot be written.
    """
    with written_aside(Path(path)) as aside:
        aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """`files.write_aside`, whose failure is an error of the user.

    Raises:
        InputError: the place cannot be written.
    """
    try:
        with write_aside(path) as aside:
            yield aside
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
