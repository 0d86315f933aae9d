"""ICDAR 2015 incidental scene text: one quadrilateral per word; and similar formats of other data sets.

Published with "ICDAR 2015 Competition on Robust Reading", Karatzas et al., 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotations.fields import is_number, numbered_lines, parse_numbers, split_fields
from annotations.instance import Instance

_NUMBERS = 8
_POLYGON = 12  # numbers: six corners
_EXPECTED = "x1,y1,x2,y2,x3,y3,x4,y4,transcription"
_SCRIPTS = {
    "Arabic",
    "Bangla",
    "Bengali",
    "Chinese",
    "Hindi",
    "Japanese",
    "Korean",
    "Latin",
    "Mixed",
    "None",
    "Symbols",
}


def parse(text: str, where: str) -> list[Instance]:
    """Parses the instances of one file, one per line, in one of four forms.

    *ICDAR 2015*: `x1,y1,...,x4,y4,transcription`. The transcription may hold commas and quotes, and may be missing;
    `###` marks illegible text, and `"###"` is read as `###`.

    *MLT*: a script, such as `Latin`, precedes the transcription in every line of the file.

    *RCTW-17*: `0` or `1`, for difficult text, precedes the quoted transcription in every line of the file.

    *Polygons*: x,y pairs of any number of corners, then the transcription. A file has this form if one of its
    lines begins with at least 12 numbers that are corners close to each other, unlike a transcription `1,000`.

    Args:
        text: content of the file, with or without byte-order mark, any line ends.
        where: its name, for messages.

    Raises:
        InputError: a line has too few fields, or one that is no number of pixels.
    """
    lines = [(place, split_fields(line)) for place, line in numbered_lines(text, where)]
    rests = [fields[_NUMBERS:] for _, fields in lines]
    if any(map(_is_polygon, (fields for _, fields in lines))):
        return [_instance(fields, max(_leading(fields) // 2 * 2, _NUMBERS), place) for place, fields in lines]
    if all(len(rest) > 1 and rest[0].strip() in _SCRIPTS for rest in rests):
        return [_instance(fields, _NUMBERS, place, skipped=1) for place, fields in lines]
    if all(map(_has_flag, rests)):
        instances = [_instance(fields, _NUMBERS, place, skipped=1) for place, fields in lines]
        difficult = [rest[0].strip() == "1" for rest in rests]
        return [i._replace(transcription=i.transcription.strip('"'), difficult=d) for i, d in zip(instances, difficult)]
    return [_instance(fields, _NUMBERS, place) for place, fields in lines]


def _instance(fields: Sequence[str], numbers: int, where: str, skipped: int = 0) -> Instance:
    polygon = parse_numbers(fields, numbers, _EXPECTED, where).reshape(-1, 2)
    transcription = ",".join(fields[numbers + skipped :]).strip()
    return Instance(polygon, where, "###" if transcription == '"###"' else transcription)


def _leading(fields: Sequence[str]) -> int:
    """Number of leading fields that are numbers."""
    return next((i for i, field in enumerate(fields) if not is_number(field)), len(fields))


def _is_polygon(fields: Sequence[str]) -> bool:
    count = _leading(fields) // 2 * 2
    if count < _POLYGON:
        return False
    corners = np.array(fields[:count], float).reshape(-1, 2)
    low, high = corners[:4].min(axis=0), corners[:4].max(axis=0)
    margin = 2 * (high - low).max()
    return bool(((corners >= low - margin) & (corners <= high + margin)).all())


def _has_flag(rest: Sequence[str]) -> bool:
    quoted = ",".join(rest[1:]).strip()
    return len(quoted) > 1 and quoted[0] == quoted[-1] == '"' and rest[0].strip() in ("0", "1")
