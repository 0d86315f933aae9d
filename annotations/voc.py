"""PASCAL VOC annotations, and their conversion to COCO format.

Published with "The Pascal Visual Object Classes Challenge: A Retrospective", Everingham et al., 2015. One XML file
per image; pixels count from 1 and corners lie inside the box, so that (1, 1, W, H) is the whole image. Here, as in
COCO, that is x = 0, y = 0, width = W, height = H.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from annotations.outline import are_fractions
from errors import InputError
from files import IMAGE_SUFFIXES, composed, is_hidden, read_bytes

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
SPLITS = ("train", "val", "test")

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One object: its class, its box x, y, width, height in 0-based pixels, and its `difficult` flag."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """One annotation file: height and width of the image in pixels, and its objects."""

    size: tuple[int, int]
    objects: list[VocObject]


def read(path: Path) -> VocImage:
    """Reads one annotation file; see `parse`."""
    return parse(read_bytes(path), str(path))


def parse(data: bytes, where: str) -> VocImage:
    """Parses one annotation file.

    Real files differ in the order of elements, hold fractions of pixels, leave flags empty or out, and give
    objects parts with boxes of their own (which are skipped).

    Args:
        data: content of the XML file.
        where: name of the file, for messages.

    Raises:
        InputError: not XML, XML with a document type (absent in VOC, and able to hold expanding entities), or a
            field that is missing or not numeric.
    """
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_PlainBuilder()))
    except (ElementTree.ParseError, _DocumentType, ValueError, LookupError) as error:  # the last two: bad encodings
        raise InputError(f"{where}: is no VOC annotation ({error}); correct or remove the file") from error
    height, width = (_number(root, f"size/{side}", where) for side in ("height", "width"))
    if not (height >= 1 and width >= 1 and height.is_integer() and width.is_integer()):
        raise InputError(f"{where}: size is {width:g}x{height:g}; give the width and height of the image in pixels")
    return VocImage(
        (int(height), int(width)),
        [_object(element, f"{where}, object {i}") for i, element in enumerate(root.findall("object"), 1)],
    )


class _DocumentType(Exception):
    """The XML has a document type declaration."""


class _PlainBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise _DocumentType(f"document type {name}")


def _object(element: ElementTree.Element, where: str) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: has no name; give its class, or remove the object")
    left, top, right, bottom = (_number(element, f"bndbox/{corner}", where) for corner in _CORNERS)
    flag = (element.findtext("difficult") or "").strip()
    difficult = flag != "" and _number(element, "difficult", where) != 0
    return VocObject(name, (left - 1, top - 1, right - left + 1, bottom - top + 1), difficult)


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    text = element.findtext(path)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        shown = "missing" if text is None else repr(text.strip())
        raise InputError(f"{where}: {path} is {shown}; give a number of pixels, or remove the entry")
    return value


def find_annotations(root: Path) -> dict[str, Path]:
    """Maps image files, as paths below `root`, to the annotation files of the same name.

    Args:
        root: a folder `VOC2012`, or a folder of such folders (`VOCdevkit`).

    Raises:
        InputError: no `Annotations` there, an annotation without its image, or two images of the same name.
    """
    years = [root] if (root / "Annotations").is_dir() else [p.parent for p in sorted(root.glob("*/Annotations"))]
    found, missing = {}, []
    for year in years:
        folder = year / "JPEGImages"
        images = _images(folder)
        labels = (p for p in sorted((year / "Annotations").iterdir()) if p.suffix.lower() == ".xml")
        for annotation in (p for p in labels if not is_hidden(p.name)):
            image = images.get(composed(annotation.stem))
            if image is None:
                missing.append(str(folder / f"{annotation.stem}.jpg"))
            else:
                found[image.relative_to(root).as_posix()] = annotation
    if missing:
        raise InputError(f"{root}: {len(missing)} images are missing, the first: {missing[0]}; put them there")
    if not found:
        raise InputError(f"{root}: no Annotations/*.xml; give the folder VOC2012, or VOCdevkit that holds it")
    return found


def _images(folder: Path) -> dict[str, Path]:
    """The images in a folder, by name without suffix; other files, such as labels of another tool, are skipped."""
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name):
            other = images.setdefault(composed(path.stem), path)
            if other is not path:
                raise InputError(f"{path}: has the same name as {other.name}; rename or remove one of them")
    return images


def split_images(file_names: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Splits images at random 8 : 1 : 1; the result depends on names and seed, not on order or folder.

    Returns:
        train, val and test -> file names, sorted.

    Raises:
        InputError: fewer images than parts.
    """
    if len(file_names) < len(SPLITS):
        raise InputError(f"{len(file_names)} annotated images cannot be split into {', '.join(SPLITS)}; give more")

    def place(file_name: str) -> tuple[str, str]:
        return hashlib.sha256(f"{seed} {Path(file_name).stem}".encode()).hexdigest(), file_name

    order = sorted(file_names, key=place)
    tenth = max(1, round(len(order) / 10))
    parts = order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]
    return {split: sorted(part) for split, part in zip(SPLITS, parts)}


def to_coco(
    images: Mapping[str, VocImage], ids: Mapping[str, int], classes: Sequence[str], skip_difficult: bool = False
) -> dict[str, Any]:
    """Returns the content of a COCO instances file. `difficult` is kept as a field; no object is a crowd.

    Args:
        images: file name -> annotation.
        ids: file name -> image id.
        classes: names of the categories 1, 2, ...
        skip_difficult: leave difficult objects out.

    Raises:
        InputError: objects of other classes, or boxes that are not in pixels.
    """
    category_ids = {name: i for i, name in enumerate(classes, 1)}
    unknown = Counter(o.name for image in images.values() for o in image.objects if o.name not in category_ids)
    boxes = np.array([o.box for image in images.values() for o in image.objects]).reshape(-1, 4)
    if are_fractions([boxes[:, :2] + 1, boxes[:, :2] + boxes[:, 2:]] if len(boxes) else []):
        raise InputError(
            f"the corners of all {len(boxes)} boxes lie within 0..1, as fractions of the image's sides do; "
            "write them in pixels"
        )
    if unknown:
        listed = ", ".join(f"{name} ({count} objects)" for name, count in sorted(unknown.items()))
        raise InputError(f"classes that are not among the {len(classes)}: {listed}; give all names with --classes")
    objects = [
        (ids[file_name], o)
        for file_name, image in images.items()
        for o in image.objects
        if not (o.difficult and skip_difficult)
    ]
    return {
        "images": [
            {"id": ids[file_name], "file_name": file_name, "height": image.size[0], "width": image.size[1]}
            for file_name, image in images.items()
        ],
        "annotations": [
            {
                "id": i,
                "image_id": image_id,
                "category_id": category_ids[o.name],
                "bbox": list(o.box),
                "area": o.box[2] * o.box[3],
                "iscrowd": 0,
                "difficult": int(o.difficult),
            }
            for i, (image_id, o) in enumerate(objects, 1)
        ],
        "categories": [{"id": i, "name": name} for name, i in category_ids.items()],
    }
