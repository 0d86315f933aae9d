"""File formats of the benchmarks: ground truth is read, results are read and written."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

import numpy as np

from annotations import Instance
from annotations.fields import numbered_lines, parse_numbers, split_fields
from annotations.outline import are_fractions, crosses
from errors import InputError
from eval.files import FileNames, decode, read_files, write_folder, write_zip

logger = logging.getLogger(__name__)


class GroundTruth(NamedTuple):
    """The text of one image.

    Attributes:
        polygons: n arrays (points, 2), x and y in pixels, in file order.
        ignored: (n,) bool, True for those that the protocol treats apart.
    """

    polygons: list[np.ndarray]
    ignored: np.ndarray


@dataclass(frozen=True)
class GroundTruthFormat:
    """Ground truth files of a benchmark, one an image.

    Attributes:
        benchmark: name of the benchmark, for messages.
        parsers: suffix -> parser of `annotations`; it takes bytes for ``.mat``, else text.
        ignored: function that returns True for an instance that the protocol treats apart.
        prefixes: possible prefixes of the image's name in a file name.
    """

    benchmark: str
    parsers: Mapping[str, Callable[..., list[Instance]]]
    ignored: Callable[[Instance], bool]
    prefixes: tuple[str, ...] = ("",)

    def read(self, path: str | Path) -> dict[str, GroundTruth]:
        """Image id -> ground truth, sorted by name, from a folder or a zip.

        Raises:
            InputError: nothing to read, a file that cannot be read, or implausible coordinates: fractions of the
                image size, or, in most instances, corners out of order.
        """
        files = read_files(path, f"{self.benchmark} ground truth", FileNames(self.prefixes, tuple(self.parsers)))
        instances = {image_id: self._instances(raw, where) for image_id, (where, raw) in files.items()}
        everything = [instance for found in instances.values() for instance in found]
        if are_fractions(instance.polygon for instance in everything):
            raise InputError(f"{path}: all coordinates lie within 0..1, fractions of an image; write them in pixels")
        crossing = [instance.where for instance in everything if crosses(instance.polygon)]
        if crossing:
            words = f"edges cross of {len(crossing)} of {len(everything)} ground truths, first in {crossing[0]}"
            if 2 * len(crossing) > len(everything):
                raise InputError(f"{path}: {words}; list corners in the order in which one walks round, not row by row")
            logger.warning("%s: %s", path, words)
        if everything and all(map(self.ignored, everything)):
            logger.warning("%s: all %d ground truths are ignored: there is nothing to find", path, len(everything))
        return {image_id: self._ground_truth(found) for image_id, found in instances.items()}

    def _instances(self, raw: bytes, where: str) -> list[Instance]:
        suffix = PurePath(where).suffix.lower()
        return self.parsers[suffix](raw if suffix == ".mat" else decode(raw, where), where)

    def _ground_truth(self, instances: Sequence[Instance]) -> GroundTruth:
        ignored = np.array([self.ignored(instance) for instance in instances], dtype=bool)
        return GroundTruth([instance.polygon for instance in instances], ignored)


@dataclass(frozen=True)
class ResultFormat:
    """Result files of a benchmark: one ``.txt`` an image, a line of coordinates an instance.

    Attributes:
        benchmark: name of the benchmark, for messages.
        prefix: prefix of the image's name in a file name.
        order: order of the coordinates of a point.
        separator: between numbers when written; a comma, with or without spaces, when read.
        points: number of points of an instance; None for any.
    """

    benchmark: str
    prefix: str = ""
    order: Literal["xy", "yx"] = "xy"
    separator: str = ","
    points: int | None = None

    def file_name(self, image_id: str) -> str:
        return f"{self.prefix}{image_id}.txt"

    def read(self, path: str | Path) -> dict[str, list[np.ndarray]]:
        """Image id -> (points, 2) polygons, x and y in pixels, in file order, from a folder or a zip.

        Raises:
            InputError: nothing to read, or a line that cannot be read.
        """
        files = read_files(path, f"{self.benchmark} results", FileNames((self.prefix,), (".txt",)))
        results = {image_id: self.parse(decode(raw, where), where) for image_id, (where, raw) in files.items()}
        if are_fractions(polygon for polygons in results.values() for polygon in polygons):
            raise InputError(f"{path}: all coordinates lie within 0..1, fractions of an image; write them in pixels")
        return results

    def parse(self, text: str, where: str) -> list[np.ndarray]:
        """The (points, 2) polygons, x and y in pixels, of one file.

        Raises:
            InputError: a wrong count of numbers, or something else than numbers, with file, line and field.
        """
        pair = ",".join(self.order)
        expected = f"{self.benchmark} result: {pair} of {self.points or 'any number of'} points, no comma at the end"
        polygons = []
        for place, line in numbered_lines(text, where):
            fields = split_fields(line)
            if len(fields) % 2 or (self.points and len(fields) != 2 * self.points):
                count = 2 * self.points if self.points else "an even number of"
                raise InputError(f"{place}: {len(fields)} fields where {count} numbers are expected ({expected})")
            points = parse_numbers(fields, len(fields), expected, place).reshape(-1, 2)
            polygons.append(points if self.order == "xy" else points[:, ::-1])
        return polygons

    def write(self, path: str | Path, results: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Write all results, complete or not at all, as lines of rounded pixels.

        An image without detections gets an empty file. Earlier results in that place are replaced.

        Args:
            path: a zip if it ends in ``.zip``, else a folder.
            results: image id -> (points, 2) polygons, x and y in pixels.

        Raises:
            InputError: the place cannot be written.
            ValueError: an image id that is not a valid file name, or a polygon that is not finite or has another shape.
        """
        texts = {}
        for image_id, polygons in results.items():
            if not image_id or Path(image_id).name != image_id:
                raise ValueError(f"image id {image_id!r} cannot be a file name")
            texts[self.file_name(image_id)] = self.text(image_id, polygons)
        write = write_zip if Path(path).suffix.lower() == ".zip" else write_folder
        write(path, texts)

    def text(self, image_id: str, polygons: Sequence[np.ndarray], scores: Sequence[float] | None = None) -> str:
        """Content of the result file of an image; `scores` are appended to the lines, which `read` does not take.

        Raises:
            ValueError: a polygon that is not finite or has another shape.
        """
        ends = [""] * len(polygons) if scores is None else [f"{self.separator}{score:.4f}" for score in scores]
        return "".join(self._line(image_id, polygon) + end + "\n" for polygon, end in zip(polygons, ends))

    @staticmethod
    def as_read(polygon: np.ndarray) -> np.ndarray:
        """The (points, 2) polygon, float64, that is read from the file to which `polygon` is written."""
        return np.rint(np.asarray(polygon, dtype=np.float64))

    def _line(self, image_id: str, polygon: np.ndarray) -> str:
        points = np.asarray(polygon, dtype=np.float64)
        fits = points.ndim == 2 and points.shape[1] == 2 and len(points) > 0
        if not fits or len(points) != (self.points or len(points)) or not np.isfinite(points).all():
            wanted = f"({self.points or 'points'}, 2)"
            raise ValueError(f"image {image_id!r}: a polygon must be {wanted} and finite, got shape {points.shape}")
        ordered = points if self.order == "xy" else points[:, ::-1]
        return self.separator.join(str(int(v)) for v in self.as_read(ordered).ravel())
