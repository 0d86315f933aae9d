"""Lines and number fields of ground-truth files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from errors import InputError

MAX_COORDINATE = 1e6  # pixels; anything larger is a damaged number, and would overflow the rasteriser

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_LINE_END = re.compile(r"\r\n?|\n")


def numbered_lines(text: str, where: str) -> list[tuple[str, str]]:
    """(file and line number, line) of the lines that are not blank.

    Lines end in LF, CRLF or CR and nothing else: a transcription may hold any other separator Unicode has. A
    byte-order mark is passed over.
    """
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    return [(f"{where}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def is_number(field: str) -> bool:
    """Whether a field is a decimal number, spaces around it allowed."""
    return _NUMBER.fullmatch(field) is not None


def parse_numbers(fields: Sequence[str], count: int, expected: str, where: str) -> np.ndarray:
    """The first `count` fields as (count,) float64.

    Args:
        fields: as split.
        count: how many of them are numbers.
        expected: what the line should hold, for messages.
        where: file and line, for messages.

    Raises:
        InputError: too few fields, or one that is no number or beyond MAX_COORDINATE.
    """
    remedy = "correct or remove the line"
    if len(fields) < count:
        raise InputError(f"{where}: {len(fields)} fields where {count} numbers are expected ({expected}); {remedy}")
    values = [float(field) if _NUMBER.fullmatch(field) else math.nan for field in fields[:count]]
    numbers = np.array(values, np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) <= MAX_COORDINATE))  # true for NaN
    if len(wrong):
        field = fields[wrong[0]].strip()
        raise InputError(f"{where}: field {wrong[0] + 1} is {field!r}, not a number of pixels ({expected}); {remedy}")
    return numbers
