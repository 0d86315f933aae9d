"""Total-Text: curved text, polygons of any number of points.

Published with "Total-Text: A Comprehensive Dataset for Scene Text Detection and Recognition", Ch'ng and Chan,
2017. Two kinds of file hold the same fields: the older `.mat`, and plain text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import numpy as np

from annotations.fields import MAX_COORDINATE, numbered_lines, parse_numbers
from annotations.instance import Instance
from annotations.matlab import cell_text, load_variables
from errors import InputError

_VARIABLES = ("polygt", "gt")
_COLUMNS = 6  # a label, x, a label, y, transcription, orientation

_EXPECTED = "x: [[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'..']"
_START = re.compile(r"\s*x\s*:")
_AXES = re.compile(
    r"\s*x\s*:\s*\[\[(?P<x>[^][]*)\]\]\s*,\s*y\s*:\s*\[\[(?P<y>[^][]*)\]\]\s*,\s*ornt\s*:\s*\[", re.DOTALL
)
_BETWEEN = re.compile(r"\]\s*,\s*transcriptions\s*:\s*\[")  # separate, since one common pattern would backtrack
_QUOTED = re.compile(r"\s*[uU]?(?P<quote>['\"])(?P<inner>.*)(?P=quote)\s*", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\\'\"nrt]))")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}


def parse_mat(data: bytes, where: str) -> list[Instance]:
    """Parses the instances of one `.mat` file, one per row of the cell array `polygt` (or `gt`).

    A row is: a label, x, a label, y, transcription, orientation. Coordinates may be row or column vectors of any
    number type; transcription and orientation may be empty cells.

    Args:
        data: content of the file.
        where: its name, for messages.

    Raises:
        InputError: not a MATLAB file, neither of the two variables, or a row that is not as described.
    """
    variables = load_variables(data, _VARIABLES, where)
    name = next(iter(variables), None)
    if name is None:
        raise InputError(f"{where}: has no variable {' or '.join(_VARIABLES)}; restore the file from the data set")
    cells = variables[name]
    if cells.size == 0:
        return []
    if cells.dtype != object or cells.ndim != 2 or cells.shape[1] != _COLUMNS:
        found = " x ".join(map(str, cells.shape))
        raise InputError(
            f"{where}: variable {name} is {found} of type {cells.dtype}, where N x {_COLUMNS} cells are expected; "
            "restore the file from the data set"
        )
    return [_instance(row, f"{where}, {name} row {number}") for number, row in enumerate(cells, 1)]


def _instance(row: np.ndarray, where: str) -> Instance:
    _, x, _, y, transcription, orientation = row
    polygon = _polygon(_coordinates(x, f"{where}, x"), _coordinates(y, f"{where}, y"), where)
    return Instance(polygon, where, cell_text(transcription), cell_text(orientation))


def _coordinates(cell: np.ndarray, where: str) -> np.ndarray:
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "iuf":
        raise InputError(f"{where}: is no array of numbers; correct or remove the row")
    values = cell.astype(np.float64).ravel()
    wrong = ~(np.abs(values) <= MAX_COORDINATE)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"{where}: value {i + 1} is {values[i]}, not a number of pixels; correct or remove the row")
    return values


def _polygon(x: np.ndarray, y: np.ndarray, where: str) -> np.ndarray:
    if len(x) != len(y) or not len(x):
        raise InputError(f"{where}: {len(x)} x and {len(y)} y, where a point has one of each; correct or remove it")
    return np.stack([x, y], axis=1)


def parse_text(text: str, where: str) -> list[Instance]:
    """Parses one plain-text file: `x: [[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'..']`.

    Arrays have numpy's print format, in which long ones span lines; strings have Python's.

    Args:
        text: content of the file; an empty one is an image without text.
        where: its name, for messages.

    Raises:
        InputError: an entry is not as described, or has a coordinate that is no number of pixels.
    """
    entries: list[tuple[str, list[str]]] = []
    for place, line in numbered_lines(text, where):
        if _START.match(line) or not entries:
            entries.append((place, [line]))
        else:
            entries[-1][1].append(line)
    return [_entry(place, "\n".join(lines)) for place, lines in entries]


def _entry(where: str, entry: str) -> Instance:
    axes = _AXES.match(entry)
    between = _BETWEEN.search(entry, axes.end()) if axes else None
    text = entry[between.end() :].rstrip() if between else ""
    if not text.endswith("]"):
        raise InputError(f"{where}: is not like {_EXPECTED}; correct or remove the entry")
    x, y = (_printed_numbers(axes[axis], f"{where}, {axis}") for axis in ("x", "y"))
    orientation = entry[axes.end() : between.start()]
    return Instance(_polygon(x, y, where), where, _unquote(text[:-1]), _unquote(orientation))


def _printed_numbers(array: str, where: str) -> np.ndarray:
    values = array.replace(",", " ").split()
    return parse_numbers(values, len(values), _EXPECTED, where)


def _unquote(literal: str) -> str:
    """The string that Python printed as `literal`; quotes inside it need no backslash."""
    match = _QUOTED.fullmatch(literal)
    return _ESCAPE.sub(_unescape, match["inner"] if match else literal).strip()


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _CONTROL.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= sys.maxunicode else match[0]


def write_text(instances: Iterable[Instance]) -> str:
    """Formats instances, one per line, as a plain-text file that `parse_text` reads back."""
    return "".join(map(_line, instances))


def _line(instance: Instance) -> str:
    x, y = (" ".join(np.format_float_positional(v, trim="-") for v in axis) for axis in instance.polygon.T)
    strings = f"ornt: [u{instance.orientation!r}], transcriptions: [u{instance.transcription!r}]"
    return f"x: [[{x}]], y: [[{y}]], {strings}\n"
