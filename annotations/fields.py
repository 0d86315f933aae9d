"""Lines and number fields of ground-truth files."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence

import numpy as np

from errors import InputError

MAX_COORDINATE = 1e6  # pixels; anything larger is a damaged number, and would overflow the rasteriser
MAX_LINES = 10_000  # of the labels or results of one image
MAX_CORNERS = 5_000  # of one polygon

_NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_FOREIGN = re.compile(r"[^-+.\deE\s]", re.ASCII)  # not in numbers, though float() takes some: "_", "inf", other digits
_SHOWN = 60  # characters of a wrong field
_LINE_END = re.compile(r"\r\n?|\n")


def numbered_lines(text: str, where: str) -> list[tuple[str, str]]:
    """(file and line number, line) of the lines that are not blank.

    Lines end in LF, CRLF or CR and nothing else: a transcription may hold any other separator Unicode has. A
    byte-order mark is skipped.

    Raises:
        InputError: more than MAX_LINES lines.
    """
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    if len(lines) > MAX_LINES + 1:
        raise InputError(f"{where}: has {len(lines):,} lines, more than the {MAX_LINES:,} of an image; remove some")
    return [(f"{where}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def split_fields(line: str) -> list[str]:
    """Splits a line at commas; fields beyond the 2·MAX_CORNERS + 1 first ones stay joined in the last one."""
    return line.split(",", 2 * MAX_CORNERS + 1)


def is_number(field: str) -> bool:
    """True if a field is a decimal number; surrounding spaces are allowed."""
    return _NUMBER.fullmatch(field) is not None


def parse_numbers(fields: Sequence[str], count: int, expected: str, where: str) -> np.ndarray:
    """Converts the first `count` fields to (count,) float64.

    Args:
        fields: fields of one line, see `split_fields`.
        count: number of fields that must be numbers.
        expected: description of a valid line, for messages.
        where: file and line, for messages.

    Raises:
        InputError: too few fields, or one that is no number or beyond MAX_COORDINATE.
    """
    remedy = "correct or remove the line"
    if len(fields) < count:
        raise InputError(f"{where}: {len(fields)} fields where {count} numbers are expected ({expected}); {remedy}")
    if count > 2 * MAX_CORNERS:
        raise InputError(f"{where}: has {count:,} numbers, more than {MAX_CORNERS:,} corners; {remedy}")
    numbers = _floats(fields[:count])
    fits = np.abs(numbers) <= MAX_COORDINATE  # false for NaN
    if not fits.all():
        wrong = int(fits.argmin())
        field = fields[wrong].strip()
        field = field if len(field) <= _SHOWN else field[:_SHOWN] + "..."
        raise InputError(f"{where}: field {wrong + 1} is {field!r}, not a number of pixels ({expected}); {remedy}")
    return numbers


def _floats(fields: Sequence[str]) -> np.ndarray:
    """Fields as float64, NaN where not numeric. After one search for foreign characters float() is strict enough."""
    if not _FOREIGN.search("".join(fields)):
        with contextlib.suppress(ValueError):
            return np.array([float(field) for field in fields], np.float64)
    return np.array([float(field) if is_number(field) else math.nan for field in fields], np.float64)
