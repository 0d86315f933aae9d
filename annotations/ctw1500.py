"""CTW1500: curved text, 14 points an instance.

Published with "Detecting Curve Text in the Wild: New Dataset and New Solution", Liu et al., 2017.
"""

from __future__ import annotations

import numpy as np

from annotations.fields import is_number, numbered_lines, parse_numbers
from annotations.instance import Instance

POINTS = 14
_BOX = 4


def parse(text: str, where: str) -> list[Instance]:
    """The instances of one label file, one a line, in either of two forms.

    *Published*: 32 numbers, xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin); further fields are
    passed over. There is no transcription and no ignore flag.

    *Absolute*: 28 numbers, 14 x,y pairs in image coordinates, and then the transcription, which may hold
    commas. The copies of the data set made for text spotting have this form; they write `####` before the
    transcription (taken off here), and `###` as the transcription of an instance to ignore.

    A file is in the absolute form if any of its lines has 28 numbers followed by a field that is no number.
    The whole file is then read so, since some transcriptions are numbers themselves.

    Args:
        text: content of the file; an empty one is an image without text.
        where: its name, for messages.

    Raises:
        InputError: a line has too few fields, or one that is no number of pixels.
    """
    lines = [(place, line.split(",")) for place, line in numbered_lines(text, where)]
    if any(_has_transcription(fields) for _, fields in lines):
        return [Instance(_absolute_points(f, place), place, _transcription(f)) for place, f in lines]
    return [Instance(_offset_points(fields, place), place) for place, fields in lines]


def _has_transcription(fields: list[str]) -> bool:
    """28 numbers, then something that is neither a number nor empty."""
    coordinates, rest = fields[: 2 * POINTS], fields[2 * POINTS : 2 * POINTS + 1]
    is_text = bool(rest) and bool(rest[0].strip()) and not is_number(rest[0])
    return is_text and all(map(is_number, coordinates))


def _transcription(fields: list[str]) -> str:
    return ",".join(fields[2 * POINTS :]).strip().removeprefix("####")


def _offset_points(fields: list[str], where: str) -> np.ndarray:
    expected = "xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin)"
    values = parse_numbers(fields, _BOX + 2 * POINTS, expected, where)
    return values[_BOX:].reshape(POINTS, 2) + values[:2]


def _absolute_points(fields: list[str], where: str) -> np.ndarray:
    return parse_numbers(fields, 2 * POINTS, "14 x,y pairs and a transcription", where).reshape(POINTS, 2)
