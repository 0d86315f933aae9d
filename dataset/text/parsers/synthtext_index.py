"""The annotations of SynthText in a file that is mapped into memory instead of read.

Its `gt.mat` takes long and gigabytes to load; the index opens at once, and all processes share one copy of
the pages they touch. In the file, with N images and M words, numbers little-endian:

    header      one line of JSON, filled up with spaces to a multiple of 64 bytes
    ends        (N + 1, 3) int64, where the boxes, words and name of each image end (row 0 holds zeros)
    boxes       (M, 4, 2) float32
    words       UTF-8, separated by spaces; nothing for an image whose words do not match its boxes
    names       UTF-8
"""

from __future__ import annotations

import json
import uuid
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from annotations.synthtext import SynthTextImage
from dataset.text.parsers.base import flaw_of

VERSION = 1
UNMATCHED = "images with another number of words than boxes: transcriptions left out"

_ALIGNMENT = 64
_MAX_HEADER = 1 << 16
_BOX_BYTES = 4 * 2 * 4
_BIG_TRIANGLE = 2.0  # square pixels, far above the rounding of float32 coordinates


class IndexedImage(NamedTuple):
    """One image of the index.

    Attributes:
        name: path below the data root.
        boxes: (n, 4, 2) float32, x and y in pixels.
        words: n transcriptions, all empty where the file had another number of them.
    """

    name: str
    boxes: np.ndarray
    words: list[str]


class SynthTextIndex:
    """An index file, as a sequence of images. Pickled as the path alone and reopened on unpickling.

    Attributes:
        stamp: identity of the source, as given to `write_index`.
        issues: kind -> (count, first place) of the boxes and words left out.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no complete index of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            line = file.readline(_MAX_HEADER)
        header = json.loads(line)  # its error is a ValueError
        if not isinstance(header, dict) or header.get("version") != VERSION:
            raise ValueError(f"{path} is no index of version {VERSION}")
        self.stamp, self.issues = header["stamp"], header["issues"]
        data = np.asarray(np.memmap(path, np.uint8, "r"))[len(line) :]
        size = 3 * 8 * (header["images"] + 1)
        if len(data) < size:
            raise ValueError(f"{path} has another size than it should")
        self._ends = data[:size].view("<i8").reshape(-1, 3)
        n_boxes, n_words, n_names = map(int, self._ends[-1])
        boxes, self._words, self._names, rest = np.split(
            data[size:], np.cumsum([n_boxes * _BOX_BYTES, n_words, n_names])
        )
        if len(self._names) != n_names or len(rest):
            raise ValueError(f"{path} has another size than it should")
        self._boxes = boxes.view("<f4").reshape(-1, 4, 2)

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return SynthTextIndex, (self.path,)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def instances(self) -> int:
        """Number of boxes of all images."""
        return len(self._boxes)

    def __getitem__(self, index: int) -> IndexedImage:
        if not 0 <= index < len(self):
            raise IndexError(index)
        (box, word, name), (box_end, word_end, name_end) = self._ends[index : index + 2].tolist()
        boxes = self._boxes[box:box_end].astype(np.float32)  # a copy, to keep no view of the map
        words = self._words[word:word_end].tobytes().decode(errors="replace").split()
        path = self._names[name:name_end].tobytes().decode(errors="replace")
        return IndexedImage(path, boxes, words or [""] * len(boxes))


def open_index(path: Path, stamp: dict[str, Any]) -> SynthTextIndex | None:
    """Opens the index; None if it is missing, damaged or made from another source."""
    try:
        index = SynthTextIndex(path)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return index if index.stamp == stamp else None


def write_index(path: Path, images: Iterable[SynthTextImage], stamp: dict[str, Any]) -> None:
    """Writes the index of images to a temporary file first, so that `path` never holds half a file.

    Boxes that enclose nothing are left out and counted, with their words.

    Args:
        path: the index file; its folder is created if missing.
        images: images to index, consumed one by one.
        stamp: identity of the source, JSON values.

    Raises:
        OSError: the file cannot be written; raised before the first image is requested.
    """
    with _aside(path) as file:
        ends, boxes, words, names = array("q", (0, 0, 0)), bytearray(), bytearray(), bytearray()
        issues: dict[str, tuple[int, str]] = {}
        for image in images:
            kept, texts, flaws = _check(image)
            for kind in flaws:
                count, first = issues.get(kind, (0, image.where))
                issues[kind] = count + 1, first
            boxes += kept.astype("<f4").tobytes()
            words += " ".join(texts).encode()
            names += image.name.encode()
            ends.extend((len(boxes) // _BOX_BYTES, len(words), len(names)))
        header = {"version": VERSION, "images": len(ends) // 3 - 1, "stamp": stamp, "issues": issues}
        line = json.dumps(header).encode()
        file.write(line.ljust(-(-(len(line) + 1) // _ALIGNMENT) * _ALIGNMENT - 1) + b"\n")
        file.write(np.array(ends, "<i8").tobytes())
        for section in (boxes, words, names):
            file.write(section)


def _check(image: SynthTextImage) -> tuple[np.ndarray, list[str], list[str]]:
    """The boxes (n, 4, 2) that enclose something, their words (none if they do not match), and flaws by kind."""
    corners, words, flaws = image.boxes, image.words, []
    if len(words) != len(corners):
        words = []
        flaws.append(UNMATCHED)
    suspects = np.flatnonzero(_largest_triangles(corners) < _BIG_TRIANGLE)
    flawed = {int(i): flaw for i in suspects if (flaw := flaw_of(corners[i])) is not None}
    if flawed:
        corners = np.delete(corners, list(flawed), axis=0)
        words = [word for i, word in enumerate(words) if i not in flawed]
        flaws.extend(flawed.values())
    return corners, words, flaws


def _largest_triangles(boxes: np.ndarray) -> np.ndarray:
    """(n,) the larger area of the triangles that the last two corners each form with the first two."""
    a, b, c, d = boxes.transpose(1, 2, 0)  # (2, n) each
    return np.maximum(_triangle(a, b, c), _triangle(a, c, d))


def _triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    (ux, uy), (vx, vy) = b - a, c - a
    return np.abs(ux * vy - uy * vx) / 2


@contextmanager
def _aside(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` at the end, and vanishes if there is an error instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("xb") as file:
            yield file
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
