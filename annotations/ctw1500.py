"""CTW1500: curved text, 14 points per instance.

Published with "Detecting Curve Text in the Wild: New Dataset and New Solution", Liu et al., 2017.
"""

from __future__ import annotations

import numpy as np

from annotations.fields import is_number, numbered_lines, parse_numbers, split_fields
from annotations.instance import Instance

POINTS = 14
_BOX = 4
_QUAD = 8  # numbers
_MARGIN = 5.0  # pixels by which published points may lie outside their box


def parse(text: str, where: str) -> list[Instance]:
    """Parses the instances of one label file, one per line, all lines in the same one of these forms.

    *Published*: 32 numbers, xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin); further fields are
    skipped. There is no transcription and no ignore flag.

    *Absolute*: 28 numbers, 14 x,y pairs in image coordinates, and then the transcription, which may hold
    commas. The copies of the data set made for text spotting have this form; they write `####` before the
    transcription (removed here), and `###` as the transcription of an instance to ignore.

    *Absolute after the box*: 32 numbers as in the published form, but in every line the pairs lie inside the box
    of the first four numbers, whereas as offsets they would lie outside it.

    *Polygons*: any other even count of numbers, x,y pairs in image coordinates, and then the transcription.

    A file is in an absolute form if any of its lines has that many numbers followed by a field that is no number.
    The whole file is then read so, since some transcriptions are numbers themselves.

    Args:
        text: content of the file; an empty one is an image without text.
        where: its name, for messages.

    Raises:
        InputError: a line has too few fields, or one that is no number of pixels.
    """
    lines = [(place, split_fields(line)) for place, line in numbered_lines(text, where)]
    counts = [_leading(fields) for _, fields in lines]
    texts = [any(map(str.strip, fields[count : count + 1])) for (_, fields), count in zip(lines, counts)]
    pairs = 2 * POINTS
    if any(count == pairs and has_text for count, has_text in zip(counts, texts)):
        return [_absolute(fields, pairs, place) for place, fields in lines]
    published = lines and min(counts) >= _BOX + pairs
    boxes = [np.array(fields[: _BOX + pairs], float) for _, fields in lines] if published else []
    if published and not all(map(_offsets_fit, boxes)) and all(map(_points_fit, boxes)):
        return [Instance(_numbers(fields, place)[_BOX:].reshape(POINTS, 2), place) for place, fields in lines]
    uneven = published and not all(map(_offsets_fit, boxes))
    if any(texts) and min(counts) >= _QUAD and (uneven or not published):
        return [_absolute(fields, count // 2 * 2, place) for (place, fields), count in zip(lines, counts)]
    return [Instance(_offset_points(fields, place), place) for place, fields in lines]


def _leading(fields: list[str]) -> int:
    """Number of leading fields that are numbers."""
    return next((i for i, field in enumerate(fields) if not is_number(field)), len(fields))


def _offsets_fit(values: np.ndarray) -> bool:
    """True if the pairs, as offsets from the corner of the box, lie inside it up to a margin."""
    (low, high), points = values[:_BOX].reshape(2, 2), values[_BOX:].reshape(-1, 2)
    margin = _MARGIN + (high - low).max() / 4
    return bool(((points >= -margin) & (points <= high - low + margin)).all())


def _points_fit(values: np.ndarray) -> bool:
    """True if the pairs, as image coordinates, lie inside the box up to a margin."""
    return _offsets_fit(np.concatenate([values[:_BOX], (values[_BOX:].reshape(-1, 2) - values[:2]).ravel()]))


def _numbers(fields: list[str], where: str) -> np.ndarray:
    expected = "xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin)"
    return parse_numbers(fields, _BOX + 2 * POINTS, expected, where)


def _offset_points(fields: list[str], where: str) -> np.ndarray:
    values = _numbers(fields, where)
    return values[_BOX:].reshape(POINTS, 2) + values[:2]


def _absolute(fields: list[str], count: int, where: str) -> Instance:
    points = parse_numbers(fields, count, f"{count // 2} x,y pairs and a transcription", where).reshape(-1, 2)
    return Instance(points, where, ",".join(fields[count:]).strip().removeprefix("####"))
