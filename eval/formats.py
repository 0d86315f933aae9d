"""The benchmarks' text formats: ground truth and results, to and from lists of polygons."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from errors import InputError
from eval.files import read_texts, write_folder

CTW1500_POINTS = 14


def parse_numbers(fields: Sequence[str], where: str) -> np.ndarray:
    """(n,) float64 out of text fields.

    Raises:
        InputError: a field that is no finite number; the message starts with ``where`` (file and line).
    """
    values = []
    for position, field in enumerate(fields, start=1):
        try:
            values.append(float(field))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            hint = " (no comma at the end of a line)" if position == len(fields) and not field.strip() else ""
            raise InputError(f"{where}: field {position} must be a number, found {field.strip()!r}{hint}")
    return np.array(values)


def _lines(where: str, text: str) -> list[tuple[str, str]]:
    """(file and line number, line) of the lines that are not blank."""
    return [(f"{where}:{n}", line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]


def parse_ctw1500_ground_truth(text: str, where: str) -> list[np.ndarray]:
    """(14, 2) polygons, x and y in pixels, of a CTW1500 curve label file.

    A line holds xmin, ymin, xmax, ymax and 14 pairs x, y relative to (xmin, ymin); further fields are passed
    over.

    Raises:
        InputError: too few fields or no numbers, with file and line.
    """
    expected = 4 + 2 * CTW1500_POINTS
    polygons = []
    for place, line in _lines(where, text):
        fields = line.split(",")
        if len(fields) < expected:
            raise InputError(
                f"{place}: a CTW1500 label has at least {expected} numbers, found {len(fields)} fields "
                "(scores are taken on the published labels, with points relative to the box)"
            )
        numbers = parse_numbers(fields[:expected], place)
        polygons.append(numbers[4:].reshape(-1, 2) + numbers[:2])
    return polygons


def parse_ctw1500_result(text: str, where: str) -> list[np.ndarray]:
    """(n, 2) polygons, x and y in pixels, of a CTW1500 result file, whose lines hold y, x, y, x, ...

    Raises:
        InputError: an odd count or no numbers, with file and line.
    """
    polygons = []
    for place, line in _lines(where, text):
        numbers = parse_numbers(line.split(","), place)
        if len(numbers) % 2:
            raise InputError(f"{place}: a result line holds pairs y,x, found {len(numbers)} numbers")
        polygons.append(numbers.reshape(-1, 2)[:, ::-1])
    return polygons


def read_ctw1500_ground_truth(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Image id (file name without ``.txt``) -> (14, 2) polygons, from a folder or zip of label files.

    Raises:
        InputError: nothing to read, or a line that cannot be read.
    """
    texts = read_texts(path, "CTW1500 ground truth")
    return {name: parse_ctw1500_ground_truth(text, where) for name, (where, text) in texts.items()}


def read_ctw1500_results(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Image id -> (n, 2) polygons in file order, from a folder or zip of result files.

    Raises:
        InputError: nothing to read, or a line that cannot be read.
    """
    texts = read_texts(path, "CTW1500 results")
    return {name: parse_ctw1500_result(text, where) for name, (where, text) in texts.items()}


def write_ctw1500_results(folder: str | Path, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write a result folder: one ``.txt`` an image, a line y,x,y,x,... of rounded pixels an instance.

    An image without detections gets an empty file. An earlier result folder is replaced once all is written.

    Args:
        folder: the result folder.
        results: image id -> (n, 2) polygons, x and y in pixels.

    Raises:
        InputError: the folder cannot be taken.
        ValueError: an image id that is no file name, or a polygon that is not (n, 2) and finite.
    """
    texts = {}
    for image_id, polygons in results.items():
        if not image_id or Path(image_id).name != image_id:
            raise ValueError(f"image id {image_id!r} cannot be a file name")
        texts[f"{image_id}.txt"] = "".join(_ctw1500_line(image_id, polygon) for polygon in polygons)
    write_folder(folder, texts)


def _ctw1500_line(image_id: str, polygon: np.ndarray) -> str:
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"image {image_id!r}: a polygon must be (n, 2) and finite, got shape {points.shape}")
    return ",".join(str(int(v)) for v in np.rint(points[:, ::-1]).ravel()) + "\n"
