"""CTW1500: curved text, 14 points an instance.

Published with "Detecting Curve Text in the Wild: New Dataset and New Solution", Liu et al., 2017.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dataset.issues import DataIssues
from dataset.parsers.base import (
    MAX_COORDINATE,
    FilePairParser,
    annotation_of,
    is_polygon,
    list_images,
    read_text,
)
from dataset.records import TextRecord
from dataset.registry import PARSERS
from errors import InputError

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_POINTS = 14
_BOX = 4


def list_split(root: Path, split: str) -> list[tuple[Path, Path]]:
    """`{split}/text_image/NAME.jpg` (.jpeg, .png; any case) with `{split}/text_label_curve/NAME.txt`."""
    folder = root / split
    images = list_images(root, folder / "text_image")
    return [(image, annotation_of(image, folder / "text_label_curve", image.stem + ".txt")) for image in images]


def parse(annotation: Path, image: Path, issues: DataIssues | None = None) -> TextRecord:
    """Reads one label file, one instance a line, in either of two forms.

    *Published*: 32 numbers, xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin); further fields are
    passed over. There is no transcription and no ignore flag.

    *Absolute*: 28 numbers, 14 x,y pairs in image coordinates, and then the transcription, which may hold
    commas. The copies of the data set made for text spotting have this form; they write `####` before the
    transcription (taken off here), and `###` as the transcription of an instance to ignore.

    A file is in the absolute form if any of its lines has 28 numbers followed by a field that is no number.
    The whole file is then read so, since some transcriptions are numbers themselves.

    Args:
        annotation: label file; an empty one is an image without text.
        image: the image it belongs to, which is not opened.
        issues: counts the polygons left out because they enclose nothing.

    Raises:
        InputError: a line has too few fields, or one that is no number of pixels.
    """
    lines = [(i, line.split(",")) for i, line in enumerate(read_text(annotation).splitlines(), 1) if line.strip()]
    absolute = any(_has_transcription(fields) for _, fields in lines)
    polygons, transcriptions, ignore = [], [], []
    for number, fields in lines:
        where = f"{annotation}, line {number}"
        points = _absolute_points(fields, where) if absolute else _offset_points(fields, where)
        if not is_polygon(points, where, issues):
            continue
        text = ",".join(fields[2 * _POINTS :]).strip().removeprefix("####") if absolute else ""
        polygons.append(points.astype(np.float32))
        transcriptions.append(text)
        ignore.append(text == "###")
    return TextRecord(image, polygons, np.array(ignore, bool), transcriptions)


def _has_transcription(fields: list[str]) -> bool:
    """28 numbers, then something that is neither a number nor empty."""
    coordinates, rest = fields[: 2 * _POINTS], fields[2 * _POINTS : 2 * _POINTS + 1]
    is_text = bool(rest) and bool(rest[0].strip()) and not _NUMBER.fullmatch(rest[0])
    return is_text and all(map(_NUMBER.fullmatch, coordinates))


def _offset_points(fields: list[str], where: str) -> np.ndarray:
    expected = "xmin,ymin,xmax,ymax and 14 x,y pairs relative to (xmin, ymin)"
    values = _numbers(fields, _BOX + 2 * _POINTS, expected, where)
    return values[_BOX:].reshape(_POINTS, 2) + values[:2]


def _absolute_points(fields: list[str], where: str) -> np.ndarray:
    return _numbers(fields, 2 * _POINTS, "14 x,y pairs and a transcription", where).reshape(_POINTS, 2)


def _numbers(fields: list[str], count: int, expected: str, where: str) -> np.ndarray:
    """The first `count` fields as (count,) float64."""
    remedy = "correct or remove the line"
    if len(fields) < count:
        raise InputError(f"{where}: {len(fields)} fields where {count} numbers are expected ({expected}); {remedy}")
    for i, text in enumerate(fields[:count], 1):
        if not _NUMBER.fullmatch(text) or abs(float(text)) > MAX_COORDINATE:
            raise InputError(f"{where}: field {i} is {text.strip()!r}, not a number of pixels ({expected}); {remedy}")
    return np.array(fields[:count], np.float64)


@PARSERS.register_module()
class CTW1500(FilePairParser):
    """1000 training and 500 test images in `data/ctw1500/{train,test}/{text_image,text_label_curve}`."""

    list_split = staticmethod(list_split)
    parse = staticmethod(parse)

    @property
    def ground_truth(self) -> Path:
        return self.root / self.split / "text_label_curve"
