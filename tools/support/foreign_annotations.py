"""Readers of what annotation tools write: labelme files, and JSON files in the style of COCO-Text or COCO.

Mistakes are collected, so that one run names them all; what can be lived with is counted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from annotations import Instance
from annotations.fields import MAX_COORDINATE
from annotations.outline import crosses, in_order
from dataset.issues import DataIssues
from dataset.text.parsers.base import CROSSING, REORDERED, flaw_of
from errors import InputError
from files import is_hidden, read_text

_MAX_LABELME = 1 << 28  # bytes: a file may hold its image
_POLYGONS = ("polygon", "quad", "oriented_rectangle", "rotation")
_SETS = {"train": "Train", "val": "Test", "test": "Test"}
_TRANSCRIPTIONS = ("utf8_string", "transcription", "text")
_KINDS = {str: "a string", int: "a whole number", list: "a list", Mapping: "an object"}


@dataclass(frozen=True)
class LabelledImage:
    """One image and its text.

    Attributes:
        path: the image file, which exists.
        size: (width, height) that the annotation says it was made on; None where it does not say.
        where: the place that names the image, for messages.
        instances: `difficult` marks those to ignore.
        split: 'Train', 'Test', or None where the annotation does not say.
    """

    path: Path
    size: tuple[int, int] | None
    where: str
    instances: list[Instance]
    split: str | None = None


@dataclass
class Import:
    """Settings of one import, and the problems found on the way.

    Attributes:
        images: folder of the images; None for where the annotation files say.
        ignore_labels: labels of text that is there but cannot be read; `#`, Total-Text's own, is always one.
        issues: counts what is left out or changed.
        problems: mistakes, one line each; any of them means that nothing may be written.
    """

    images: Path | None
    ignore_labels: Collection[str]
    issues: DataIssues
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Notes an InputError of its block as a problem, and goes on."""
        try:
            yield
        except InputError as error:
            self.problems.append(" ".join(str(error).splitlines()))  # a file name may hold more than one

    def add(self, to: list[Instance], points: np.ndarray, where: str, text: str, ignored: bool) -> None:
        """Appends an instance, unless its polygon encloses nothing, which is counted."""
        text = text.strip()
        flaw = flaw_of(points)
        if flaw:
            self.issues.add(flaw, where)
            return
        ordered = in_order(points)
        if ordered is not points or crosses(points):
            self.issues.add(REORDERED if ordered is not points else CROSSING, where)
        to.append(Instance(ordered, where, text, difficult=ignored or text in ("#", *self.ignore_labels)))


def read_labelme(folder: Path, job: Import) -> list[LabelledImage]:
    """Reads all labelme files in and below a folder, in the order of their paths.

    Shapes of type polygon, quad, rectangle and oriented_rectangle (or rotation) are text, their label is the
    transcription; others are left out and counted. An image is looked for relative to its JSON file, or by its name
    in `job.images`.

    Raises:
        InputError: there is no JSON file. Mistakes in one are collected.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".json" and not _is_hidden(p, folder))
    if not files:
        raise InputError(f"{folder}: holds no .json file; name the folder that labelme saved to")
    found = []
    for file in files:
        with job.collecting():
            found.append(_labelme_image(file, job))
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(map(is_hidden, path.relative_to(folder).parts))


def _labelme_image(file: Path, job: Import) -> LabelledImage:
    content = _load(file, _MAX_LABELME)
    shapes = _get(content, "shapes", list, str(file))
    name = PureWindowsPath(_get(content, "imagePath", str, str(file)))  # understands both kinds of slashes
    path = job.images / name.name if job.images else file.parent / name.as_posix()
    _require(path, f"{file}: imagePath {name.as_posix()!r}")
    instances: list[Instance] = []
    for number, shape in enumerate(shapes):
        where = f"{file}, shapes[{number}]"
        with job.collecting():
            points = _shape_points(shape, where, job.issues)
            if points is not None:
                job.add(instances, points, where, _get(shape, "label", str, where), ignored=False)
    return LabelledImage(path, _size(content, "imageWidth", "imageHeight"), str(file), instances)


def _shape_points(shape: Any, where: str, issues: DataIssues) -> np.ndarray | None:
    """(k, 2) of one shape; None, and counted, for a type that is no polygon."""
    points = _get(shape, "points", list, where)
    kind = shape.get("shape_type") or "polygon"  # as labelme takes it
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = _points(points, f"{where}.points", least=2)
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if kind in (*_POLYGONS, "rectangle"):
        return _points(points, f"{where}.points")
    issues.add(f"shapes of type {kind} left out", where)
    return None


def read_coco(file: Path, job: Import) -> list[LabelledImage]:
    """Reads one JSON file in the style of COCO-Text (`imgs`, `anns`) or of COCO (`images`, `annotations`).

    Illegible text and crowds are ignored. Outlines are taken from `mask` or `polygon` (COCO-Text) or
    `segmentation` (COCO), else from `bbox`. The parts of an outline in several parts, and the box around a
    run-length mask, become ignored regions, since neither is the outline of a line of text; both are counted.
    `set` (COCO-Text) gives the split; images of the set test without annotations, which COCO-Text keeps to
    itself, are left out and counted. The images are looked for in `job.images`, by default beside the file.

    Raises:
        InputError: no such JSON file, or one without the two lists. Mistakes in their entries are collected.
    """
    content = _load(file)
    keys = ("imgs", "anns") if "imgs" in content else ("images", "annotations")
    entries, texts = (_entries(content, key, file, job) for key in keys)
    images: dict[str, LabelledImage] = {}
    for key, (entry, where) in entries.items():
        with job.collecting():
            images[key] = _coco_image(entry, where, job.images or file.parent)
    for text, where in texts.values():
        with job.collecting():
            key = str(_get(text, "image_id", (int, str), where))
            if key not in entries:
                raise InputError(f"{where}: image_id {key} is the id of no image in '{keys[0]}'; correct or remove it")
            if key in images:
                _add_coco_text(images[key].instances, text, where, job)
    found = []
    for key, image in images.items():
        if entries[key][0].get("set") == "test" and not image.instances:
            job.issues.add("images of the set 'test' without annotations left out", image.where)
        else:
            found.append(image)
    return found


def _entries(content: Mapping, key: str, file: Path, job: Import) -> dict[str, tuple[Mapping, str]]:
    """Id -> (entry, where it stands), of a mapping by id (COCO-Text) or of a list of entries with ids (COCO)."""
    container = content.get(key)
    if isinstance(container, Mapping):
        pairs = [(name, entry, f"{file}, {key}.{name}") for name, entry in container.items()]
    elif isinstance(container, list):
        pairs = []
        for number, entry in enumerate(container):
            where = f"{file}, {key}[{number}]"
            with job.collecting():
                pairs.append((str(_get(entry, "id", (int, str), where)), entry, where))
    else:
        raise InputError(f"{file}: has no '{key}'; expected 'imgs' and 'anns', or 'images' and 'annotations'")
    entries: dict[str, tuple[Mapping, str]] = {}
    for name, entry, where in pairs:
        if name in entries:
            job.problems.append(f"{where}: id {name} is also that of {entries[name][1]}; give each entry its own")
        entries[name] = (entry, where)
    return entries


def _coco_image(entry: Mapping, where: str, folder: Path) -> LabelledImage:
    name = _get(entry, "file_name", str, where).replace("\\", "/")
    _require(folder / name, f"{where}: file_name {name!r}")
    group = entry.get("set")
    if group is not None and str(group) not in _SETS:
        raise InputError(f"{where}: set is {group!r}; expected one of {', '.join(_SETS)}, or none")
    return LabelledImage(folder / name, _size(entry, "width", "height"), where, [], _SETS.get(group))


def _add_coco_text(instances: list[Instance], entry: Mapping, where: str, job: Import) -> None:
    text = next((str(entry[key]) for key in _TRANSCRIPTIONS if entry.get(key) is not None), "")
    ignored = entry.get("legibility") == "illegible" or bool(entry.get("iscrowd"))
    name = next((key for key in ("mask", "polygon", "segmentation") if entry.get(key)), "bbox")
    parts = _get(entry, name, (list, Mapping), where)
    if name == "bbox" or isinstance(parts, Mapping):
        if isinstance(parts, Mapping):
            job.issues.add("run-length masks replaced by their box and ignored", where)
            ignored = True
        bbox = _get(entry, "bbox", list, where)
        (x, y), (w, h) = _points(bbox[:4], f"{where}.bbox", least=2)[:2]
        parts = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    elif not isinstance(parts[0], list):
        parts = [parts]
    if len(parts) > 1:
        job.issues.add("outlines in several parts ignored", where)
        ignored = True
    for points in parts:
        job.add(instances, _points(points, f"{where}.{name}"), where, text, ignored)


def _load(file: Path, limit: int | None = None) -> Mapping[str, Any]:
    """The object in a JSON file of at most `limit` bytes."""
    try:
        content = json.loads(read_text(file, limit))
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, column {error.colno}"
        raise InputError(f"{file}, line {error.lineno}: is not JSON ({reason}); correct or remove the file") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise InputError(f"{file}: is not JSON that can be read ({error}); correct or remove the file") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{file}: holds a {type(content).__name__} where an object is expected; remove the file")
    return content


def _get(entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of an object that must be there and of that kind."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(value, kind):
        kinds = " or ".join(_KINDS[k] for k in (kind if isinstance(kind, tuple) else (kind,)))
        found = f"{key} is {str(value)[:40]!r}" if value is not None else f"has no {key}"
        raise InputError(f"{where}: {found}, expected {kinds}; correct or remove it")
    return value


def _points(values: list, where: str, least: int = 3) -> np.ndarray:
    """(k, 2) float64 of x, y pairs, or of a flat list of them; at least `least` of them, all numbers of pixels."""
    try:
        points = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: is no list of x, y pairs of numbers; correct or remove it") from None
    if points.ndim == 1 and len(points) % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{where}: is no list of x, y pairs of numbers; correct or remove it")
    if len(points) < least:
        raise InputError(f"{where}: has {len(points)} points, expected {least} or more; correct or remove it")
    wrong = ~(np.abs(points) <= MAX_COORDINATE).all(axis=1)  # NaN, too
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"{where}: point {i + 1} is {tuple(points[i].tolist())}, no pixels; correct or remove it")
    return points


def _size(entry: Mapping, width: str, height: str) -> tuple[int, int] | None:
    size = entry.get(width), entry.get(height)
    whole = all(isinstance(side, int) or (isinstance(side, float) and side.is_integer()) for side in size)
    return tuple(map(int, size)) if whole else None


def _require(path: Path, what: str) -> None:
    try:
        there = path.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise InputError(f"{what}: there is no file {path}; put it there, or name the images' folder with --images")
