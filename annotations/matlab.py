"""Variables of MATLAB files, version 5 to 7.2: arrays of numbers, text, and cells of these.

Not read with scipy, whose reader crashes the process on some damaged files, such as deeply nested cells. The input
is bounded: by the depth of cells, and by the bytes that compressed variables unpack to.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from errors import InputError

MAX_UNPACKED = 8 << 20  # bytes of a variable of one image

_HEADER = 128
_MAX_DEPTH = 8  # nesting of cells; ground truth has 1
_MAX_DIMENSIONS = 8
_PEEK = 4096  # bytes that hold the name of a compressed variable
_MATRIX, _COMPRESSED, _CELL, _CHAR = 14, 15, 1, 4
_NUMERIC = range(6, 16)  # classes, from double to uint64
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: ("u1", "utf-8"), 2: ("u1", "utf-8"), 4: ("u2", "utf-16"), 16: ("u1", "utf-8"), 17: ("u2", "utf-16")}


class _DamagedFile(Exception):
    """Defect of a file, given in the message."""


class _Element(NamedTuple):
    """A piece of a file: its type, where its data begin and end, and where the next one begins."""

    kind: int
    start: int
    end: int
    following: int


def load_variables(data: bytes, names: Sequence[str], where: str, limit: int = MAX_UNPACKED) -> dict[str, np.ndarray]:
    """Reads those of the named variables that a file holds, and no others.

    Args:
        data: content of the file.
        names: names of the variables.
        where: name of the file, for messages.
        limit: maximum size of a variable, bytes.

    Returns:
        Arrays by name: numbers in their stored type; text as strings, one per row; cells as objects.

    Raises:
        InputError: not a MATLAB file of these versions, a damaged one, or a variable of another class.
    """
    try:
        order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
        if order is None or data[:19] == b"MATLAB 7.3 MAT-file":
            raise _DamagedFile("not its header")
        found = {name: read() for name, read in _variables(data, order, limit) if name in names}
    except (_DamagedFile, struct.error, zlib.error, ValueError) as error:
        reason = f"cannot be read as a MATLAB file, version 5 to 7.2 ({error})"
        raise InputError(f"{where}: {reason}; restore it from the data set") from error
    return {name: found[name] for name in names if name in found}


def cell_text(cell: np.ndarray) -> str:
    """Returns the text of a cell without outer spaces, one line per row; empty for an empty cell."""
    return "\n".join(map(str, np.asarray(cell).flat)).strip()


def _variables(data: bytes, order: str, limit: int) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Name and reader of each variable."""
    file, at = _Reader(data, order), _HEADER
    while at < len(data):
        element = file.element(at, len(data), padded=False)
        if element.kind == _COMPRESSED:
            packed = memoryview(data)[element.start : element.end]
            name = _Reader(zlib.decompressobj().decompress(packed, _PEEK), order).name(0, cut_off=True)

            def read(packed: memoryview = packed) -> np.ndarray:
                unpacker = zlib.decompressobj()
                unpacked = unpacker.decompress(packed, limit + 1)
                if len(unpacked) > limit or not unpacker.eof:
                    over = f"a variable unpacks to more than {limit:,} bytes"
                    raise _DamagedFile(over if len(unpacked) > limit else "a compressed variable ends early")
                reader = _Reader(unpacked, order)
                return reader.array(reader.element(0, len(unpacked)))

            yield name, read
        elif element.kind == _MATRIX:
            yield file.name(at), lambda element=element: file.array(element)
        at = element.following


class _Reader:
    """Elements and arrays in bytes; `order` is '<' or '>'."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order = data, order
        self._pair = struct.Struct(f"{order}II").unpack_from

    def element(self, at: int, limit: int, padded: bool = True) -> _Element:
        """The element at an offset, which must end before `limit`."""
        kind, size = self._pair(self._data, at)
        if kind >> 16:  # small element: its data take the place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            following = at + 8
        else:
            start = at + 8
            following = start + (size if kind == _COMPRESSED or not padded else -(-size // 8) * 8)
        if start + size > limit:
            raise _DamagedFile(f"it ends within the element at byte {at}")
        return _Element(kind, start, start + size, following)

    def name(self, at: int, cut_off: bool = False) -> str:
        """The name of the matrix at an offset; empty if something else is there."""
        limit = len(self._data) if not cut_off else 1 << 40
        matrix = self.element(at, limit)
        return "" if matrix.kind != _MATRIX or matrix.start == matrix.end else self._head(matrix)[2]

    def _head(self, matrix: _Element) -> tuple[int, tuple[int, ...], str, int]:
        """Class, dimensions and name of a matrix, and where its data begin."""
        flags = self.element(matrix.start, matrix.end)
        sides = self.element(flags.following, matrix.end)
        name = self.element(sides.following, matrix.end)
        count = (sides.end - sides.start) // 4
        if not 2 <= count <= _MAX_DIMENSIONS:
            raise _DamagedFile(f"an array of {count} dimensions")
        shape = struct.unpack_from(f"{self._order}{count}i", self._data, sides.start)
        if min(shape) < 0:
            raise _DamagedFile(f"an array of the shape {shape}")
        text = bytes(self._data[name.start : name.end]).decode("latin-1")
        return self._pair(self._data, flags.start)[0] & 0xFF, shape, text, name.following

    def array(self, matrix: _Element, depth: int = 0) -> np.ndarray:
        """The content of a matrix."""
        if matrix.kind != _MATRIX:
            raise _DamagedFile(f"an element of type {matrix.kind} where an array is expected")
        if matrix.start == matrix.end:
            return np.zeros((0, 0))
        kind, shape, _, at = self._head(matrix)
        if kind == _CELL:
            return self._cells(shape, at, matrix.end, depth)
        if kind == _CHAR:
            return self._text(shape, at, matrix.end)
        if kind not in _NUMERIC:
            raise _DamagedFile(f"an array of class {kind}, which is neither numbers, text nor cells")
        return self._values(shape, self.element(at, matrix.end), _NUMBERS)

    def _cells(self, shape: tuple[int, ...], at: int, end: int, depth: int) -> np.ndarray:
        count = math.prod(shape)
        if depth == _MAX_DEPTH or 8 * count > end - at:
            raise _DamagedFile("cells nested too deep" if depth == _MAX_DEPTH else f"{count} cells in {end - at} bytes")
        cells = np.empty(count, object)
        for i in range(count):
            element = self.element(at, end)
            cells[i] = self.array(element, depth + 1)
            at = element.following
        return cells.reshape(shape, order="F")

    def _text(self, shape: tuple[int, ...], at: int, end: int) -> np.ndarray:
        """One string per row."""
        if not math.prod(shape):
            return np.zeros(0, str)
        element = self.element(at, end)
        code, encoding = _TEXT.get(element.kind, ("", ""))
        if not code or len(shape) != 2:
            raise _DamagedFile(f"text of type {element.kind} and shape {shape}")
        if encoding == "utf-16":
            encoding += "-le" if self._order == "<" else "-be"
            units = self._values(shape, element, {element.kind: code})
            return np.array([row.tobytes().decode(encoding, "replace") for row in units])
        text = bytes(self._data[element.start : element.end]).decode(encoding, "replace")
        if len(text) != math.prod(shape):
            raise _DamagedFile(f"{len(text)} characters in an array of the shape {shape}")
        return np.array([text[i :: shape[0]] for i in range(shape[0])])

    def _values(self, shape: tuple[int, ...], element: _Element, types: dict[int, str]) -> np.ndarray:
        if element.kind not in types:
            raise _DamagedFile(f"numbers of type {element.kind}")
        dtype = np.dtype(types[element.kind]).newbyteorder(self._order)
        count = math.prod(shape)
        if element.end - element.start != count * dtype.itemsize:
            raise _DamagedFile(f"{element.end - element.start} bytes for an array of the shape {shape}")
        return np.frombuffer(self._data, dtype, count, element.start).reshape(shape, order="F")
