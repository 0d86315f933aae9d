"""Object detection annotations in COCO format: one JSON file to flat arrays.

Published with "Microsoft COCO: Common Objects in Context", Lin et al., 2014. Everything is checked, nothing is
left out or clipped: training data (`dataset`) and the evaluation (`eval`) each apply their own rules.

The training annotations of COCO 2017 are 450 MB of text and 860,000 objects. They are compacted while they are
parsed and kept in flat arrays, which worker processes share, instead of in millions of Python objects.
"""

from __future__ import annotations

import io
import json
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotations.fields import MAX_COORDINATE
from errors import InputError
from files import open_regular

_TABLES = ("images", "annotations", "categories")


@dataclass(frozen=True)
class CocoAnnotations:
    """m images, C categories and n annotations, in the order of the file.

    Attributes:
        path: the file.
        image_ids: (m,) int64, all different.
        file_names: m names, relative to the folder of the images, with forward slashes; backslashes are converted.
        image_sizes: (m, 2) int64, height and width in pixels.
        category_ids: C ids, ascending, usually with gaps.
        classes: C names in the order of `category_ids`, all different.
        image_index: (n,) int64, 0..m-1, the image of each annotation.
        labels: (n,) int64, 1..C, its category: `category_ids[label - 1]`.
        boxes: (n, 4) float64, x, y, width, height in pixels; (0, 0) is the top left corner of the image.
        areas: (n,) float64, pixels; that of the box where the file has none.
        crowd: (n,) bool, a region of many objects.
        segmentations: masks, if they were asked for.
    """

    path: Path
    image_ids: np.ndarray
    file_names: list[str]
    image_sizes: np.ndarray
    category_ids: tuple[int, ...]
    classes: tuple[str, ...]
    image_index: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    segmentations: Segmentations | None

    def where(self, annotation: int) -> str:
        """File and position of an annotation, for messages."""
        return f"{self.path}, annotations[{annotation}]"


def read_coco(path: Path | str, with_masks: bool = False) -> CocoAnnotations:
    """Reads an instances file.

    Args:
        path: instances file, such as `annotations/instances_train2017.json`.
        with_masks: read the segmentations too, which every annotation must then have.

    Raises:
        InputError: the file cannot be read, lacks one of its three lists, or an entry lacks a field, holds
            a value that the format does not allow, repeats an id, or refers to a missing id.
    """
    path = Path(path)
    content = _load(path, with_masks)
    images, annotations, categories = (_Table(path, name, content[name]) for name in _TABLES)
    image_ids, positions = images.ids()
    sizes = [images.column(key, _is_side, "a number of pixels above 0") for key in ("height", "width")]
    category_ids, _ = categories.ids()
    names = categories.column("name", _is_name, "a name")
    categories.unique("name", names)
    by_id = sorted(zip(category_ids, names))
    labels = {category_id: label for label, (category_id, _) in enumerate(by_id, 1)}
    boxes = annotations.column("bbox", is_box, "x, y, width and height in pixels")
    box_array = np.array(boxes, np.float64).reshape(-1, 4)
    areas = annotations.column("area", lambda v: v is None or is_number(v), "a number of pixels")
    for i, (area, (_, _, w, h)) in enumerate(zip(areas, boxes)):
        if area is not None and area < 0 <= min(w, h):  # the area of an invalid box is not checked
            annotations.refuse(i, "area", area, "a number of pixels that is not negative")
    crowd = annotations.column("iscrowd", lambda v: v in (None, 0, 1), "0 or 1")
    index = annotations.look_up("image_id", positions, "images")
    return CocoAnnotations(
        path,
        image_ids=np.array(image_ids, np.int64),
        file_names=[name.replace("\\", "/") for name in images.column("file_name", _is_name, "a file name")],
        image_sizes=np.array(sizes, np.int64).T.reshape(-1, 2),
        category_ids=tuple(labels),
        classes=tuple(name for _, name in by_id),
        image_index=index,
        labels=annotations.look_up("category_id", labels, "categories"),
        boxes=box_array,
        areas=np.array([w * h if a is None else a for a, (_, _, w, h) in zip(areas, boxes)], np.float64),
        crowd=np.array(crowd, np.float64) == 1,
        segmentations=Segmentations(annotations, np.array(sizes).T[index]) if with_masks else None,
    )


class Segmentations:
    """n masks: `segmentations[i]` is a list of polygons, each [x1, y1, x2, y2, ...], or a run-length encoding.

    The corners of all polygons lie in one array. Encodings are rare and stored unchanged:
    `{"size": [h, w], "counts": ...}`, where the counts are a list or a (compressed) string.

    Args:
        annotations: checked rows of the list of annotations.
        sizes: (n, 2), height and width of each annotation's image, pixels.

    Raises:
        InputError: an annotation has no mask, or one that is invalid for its image.
    """

    def __init__(self, annotations: _Table, sizes: np.ndarray) -> None:
        expected = "a list of polygons of 3 or more corners, or a run-length encoding"
        values = annotations.column("segmentation", _is_segmentation, expected)
        self._encoded = {i: value for i, value in enumerate(values) if isinstance(value, dict)}
        for i, value in self._encoded.items():
            if value["size"] != sizes[i].tolist():
                annotations.refuse(i, "segmentation.size", value["size"], f"{sizes[i].tolist()}, that of its image")
        polygons = [() if isinstance(value, dict) else value for value in values]
        rings = [ring for value in polygons for ring in value]
        self._first_ring = np.cumsum([0] + [len(value) for value in polygons])
        self._first_number = np.cumsum([0] + [len(ring) for ring in rings])
        self._numbers = np.concatenate([np.zeros(0), *(np.frombuffer(ring) for ring in rings)])

    def __getitem__(self, index: int) -> list[list[float]] | dict[str, Any]:
        if index in self._encoded:
            return self._encoded[index]
        first, last = self._first_ring[index : index + 2]
        ends = self._first_number[first : last + 1]
        return [self._numbers[a:b].tolist() for a, b in pairwise(ends)]


class _Annotation(NamedTuple):
    """Fields of an annotation that are kept while the file is parsed; None for a missing one."""

    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    area: Any
    iscrowd: Any
    segmentation: Any

    def get(self, key: str) -> Any:
        return getattr(self, key, None)


@dataclass(frozen=True)
class _Table:
    """One of the three lists of the file."""

    path: Path
    name: str
    rows: list[Any]

    def refuse(self, i: int, key: str, value: Any, expected: str) -> None:
        text = "missing" if value is None else json.dumps(value, default=list)
        text = text if len(text) <= 60 else text[:57] + "..."
        raise InputError(f"{self.path}: {self.name}[{i}].{key} is {text}; give {expected}, or remove the entry")

    def column(self, key: str, valid: Callable[[Any], bool], expected: str) -> list[Any]:
        """One field of all rows."""
        values = [row.get(key) if isinstance(row, (dict, _Annotation)) else None for row in self.rows]
        if not all(map(valid, values)):
            i = next(i for i, value in enumerate(values) if not valid(value))
            self.refuse(i, key, values[i], expected)
        return values

    def ids(self) -> tuple[list[int], dict[int, int]]:
        """The `id` of all rows, and the position of each."""
        values = self.column("id", _is_integer, "an integer")
        return values, self.unique("id", values)

    def unique(self, key: str, values: list[Any]) -> dict[Any, int]:
        """The position of each value."""
        positions = {value: i for i, value in reversed(list(enumerate(values)))}
        if len(positions) < len(values):
            i = next(i for i, value in enumerate(values) if positions[value] != i)
            self.refuse(i, key, values[i], f"another than {self.name}[{positions[values[i]]}] has")
        return positions

    def look_up(self, key: str, known: dict[int, int], table: str) -> np.ndarray:
        """(n,) int64, the values of `known` for the ids in a field."""
        values = self.column(key, _is_integer, "an integer")
        if not all(map(known.__contains__, values)):
            i = next(i for i, value in enumerate(values) if value not in known)
            self.refuse(i, key, values[i], f"the id of one of the {len(known)} {table}")
        return np.array([known[value] for value in values], np.int64)


def _load(path: Path, with_masks: bool) -> dict[str, Any]:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
            content = json.load(file, object_hook=partial(_compact, with_masks))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON text ({error}); copy or write the file again") from error
    for table in _TABLES:
        if not isinstance(content, dict) or not isinstance(content.get(table), list):
            raise InputError(f"{path}: has no list `{table}`; give an instances file in COCO format")
    rows = content["annotations"]
    content["annotations"] = [_kept(with_masks, row) if isinstance(row, dict) else row for row in rows]
    return content


def _compact(with_masks: bool, entry: dict[str, Any]) -> dict[str, Any] | _Annotation:
    """An annotation compacted as soon as it is parsed; images and categories may have the field `image_id`, too."""
    other = "image_id" not in entry or "file_name" in entry or "name" in entry
    return entry if other else _kept(with_masks, entry)


def _kept(with_masks: bool, entry: dict[str, Any]) -> _Annotation:
    kept = _Annotation(*(entry.get(key) for key in _Annotation._fields))
    return kept._replace(segmentation=_packed(kept.segmentation) if with_masks else None)


def _packed(segmentation: Any) -> Any:
    """Polygons as arrays of float64; other values unchanged."""
    if not isinstance(segmentation, list):
        return segmentation
    try:
        return [array("d", ring) for ring in segmentation]
    except (TypeError, OverflowError):
        return segmentation


def _is_integer(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def is_number(value: Any) -> bool:
    """True for a JSON number of magnitude at most MAX_COORDINATE**2."""
    return type(value) in (int, float) and abs(value) <= MAX_COORDINATE**2  # false for NaN


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_COORDINATE


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_box(value: Any) -> bool:
    """True for four JSON numbers of pixels; width and height may be negative."""
    return isinstance(value, list) and len(value) == 4 and all(map(_is_coordinate, value))


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MAX_COORDINATE  # false for NaN


def _is_segmentation(value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("counts"), (str, list)) and isinstance(value.get("size"), list)
    return isinstance(value, list) and len(value) > 0 and all(map(_is_polygon, value))


def _is_polygon(value: Any) -> bool:
    if not isinstance(value, array) or len(value) < 6 or len(value) % 2:
        return False
    return max(value) <= MAX_COORDINATE and min(value) >= -MAX_COORDINATE and not any(map(math.isnan, value))
