"""Reference for training samples: all maps at full size, transformed step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyclipper
from PIL import Image, ImageEnhance

from dataset.images import MEAN, STD
from dataset.text.records import TextRecord
from dataset.text.samples import TrainSample
from dataset.text.targets import Targets, text_map
from dataset.text.transforms import draw_colour, draw_crop, draw_geometry, map_points


def plain_sample(record: TextRecord, rng: np.random.Generator, size: int, ratios: Sequence[float]) -> TrainSample:
    """Returns the result of TrainTransform(size, size) for the same random numbers, up to interpolation.

    Labels are interpolated too, by nearest neighbour, and the image twice. Instances beside the crop are numbered.

    Args:
        record: the annotation; the image is read from its file.
        ratios: shrink ratios of the kernels.
    """
    image = np.asarray(Image.open(record.image_path).convert("RGB"))
    geometry = draw_geometry(rng, image.shape[:2], size)
    exact = [map_points(polygon, geometry.matrix()) for polygon in record.polygons]
    wanted = [polygon for polygon, ignored in zip(exact, record.ignore) if not ignored]
    place = draw_crop(rng, text_map(wanted, geometry.canvas), size)
    brightness, saturation = draw_colour(rng)

    height, width = geometry.canvas
    scale = np.array([width / image.shape[1], height / image.shape[0]])
    polygons = [(polygon + 0.5) * scale - 0.5 for polygon in record.polygons]
    maps = [cv2.resize(image, (width, height)), *label_maps(polygons, record.ignore, geometry.canvas, ratios)]
    if geometry.flip:
        maps = [np.flip(each, axis=1).copy() for each in maps]
    maps = [rotated(each, geometry.angle) for each in maps]
    image, text, instances, ignored, *kernels = (cropped(each, place, size) for each in maps)

    picture = ImageEnhance.Brightness(Image.fromarray(image)).enhance(brightness)
    picture = ImageEnhance.Color(picture).enhance(saturation)
    values = (np.asarray(picture, np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    targets = Targets(text, np.stack(kernels), 1 - ignored, instances)
    return TrainSample(np.ascontiguousarray(values.transpose(2, 0, 1)), targets, Path(record.image_path).stem)


def label_maps(
    polygons: Sequence[np.ndarray], ignore: np.ndarray, size: tuple[int, int], ratios: Sequence[float]
) -> list[np.ndarray]:
    """Text, instances, ignored regions and kernels on the canvas, each (H, W) uint8."""
    text, instances, ignored = (np.zeros(size, np.uint8) for _ in range(3))
    count = 0
    for polygon, flag in zip(polygons, ignore):
        draw(text, polygon, 1)
        if flag:
            draw(ignored, polygon, 1)
        else:
            count += 1
            draw(instances, polygon, count)
    kernels = []
    for ratio in ratios:
        kernel = np.zeros(size, np.uint8)
        for polygon in polygons:
            draw(kernel, shrunk(polygon, ratio), 1)
        kernels.append(kernel)
    return [text, instances, ignored, *kernels]


def shrunk(polygon: np.ndarray, ratio: float) -> np.ndarray:
    """The largest part of a Vatti offset inwards by A(1−r²)/P whole pixels, or the polygon where none is left."""
    perimeter = sum(np.linalg.norm(polygon[i] - polygon[i - 1]) for i in range(len(polygon)))
    area = cv2.contourArea(polygon.astype(np.float32))
    distance = min(int(area * (1 - ratio**2) / (perimeter + 1e-3) + 0.5), 20)
    offset = pyclipper.PyclipperOffset(2.0, 6.4)
    offset.AddPath((polygon * 64).tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    parts = [np.array(part) / 64 for part in offset.Execute(-distance * 64)]
    return max(parts, key=lambda part: cv2.contourArea(part.astype(np.float32)), default=polygon)


def draw(canvas: np.ndarray, polygon: np.ndarray, value: int) -> None:
    cv2.drawContours(canvas, [np.rint(polygon).astype(np.int32)], -1, value, -1)


def rotated(image: np.ndarray, angle: float) -> np.ndarray:
    """Rotates by `angle` degrees about the centre, on the same canvas; labels (H, W) by nearest neighbour."""
    h, w = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), angle, 1)
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_LINEAR)


def cropped(image: np.ndarray, place: tuple[int, int], size: int) -> np.ndarray:
    """Crops from `place` (top, left) on, padded with zeros to (size, size)."""
    top, left = place
    part = image[top : top + size, left : left + size]
    padding = (size - part.shape[0], size - part.shape[1])
    return np.pad(part, [(0, padding[0]), (0, padding[1]), (0, 0)][: image.ndim])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Share of equal pixels among those that are non-zero in at least one of two maps; 1 if there are none."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero((first == second) & (first > 0)) / union if union else 1.0


def renumbered(instances: np.ndarray) -> np.ndarray:
    """Renumbers an instance map without gaps."""
    return np.searchsorted(np.unique([0, *instances.ravel()]), instances)


def grey_levels(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two normalised images (3, H, W), in grey levels 0 to 255 before normalisation."""
    return float(np.abs((first - second) * np.float32(STD)[:, None, None]).mean() * 255)
