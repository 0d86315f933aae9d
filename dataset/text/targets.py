"""Training targets of a detector: text, kernel, instance and ignore maps drawn from polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pyclipper

MAX_INSTANCES = 200
MAX_SHRINK = 20  # pixels

_SUBPIXEL = 64  # the clipper computes with integers
_ARC_TOLERANCE = 0.1  # pixels, of the rounded joins; the clipper may exceed it twofold on short arcs


@dataclass(frozen=True)
class Targets:
    """Maps of one image, all uint8.

    Attributes:
        text: (H, W), 1 inside any polygon, ignored ones included.
        kernels: (K, H, W), 1 inside any polygon after shrinking, ignored ones included.
        training_mask: (H, W), 0 inside ignored polygons.
        instances: (H, W), i inside the i-th polygon that is not ignored; a later one covers an earlier one.
    """

    text: np.ndarray
    kernels: np.ndarray
    training_mask: np.ndarray
    instances: np.ndarray


def shrink_ratios(kernel_num: int, min_scale: float) -> tuple[float, ...]:
    """The ratios of PSENet's kernels, from large to small: 1 − (1−m)·i/n for i = 1..n.

    Args:
        kernel_num: number of maps a PSENet predicts, n kernels and the text (PSENet, CVPR 2019, equation 3).
        min_scale: m, the ratio of the smallest.
    """
    n = kernel_num - 1
    return tuple(1 - (1 - min_scale) * i / n for i in range(1, n + 1))


def shrink_distances(polygon: np.ndarray, ratios: Sequence[float], max_shrink: int = MAX_SHRINK) -> list[int]:
    """Inward offsets of the edges in pixels: A(1−r²)/P, rounded, at most `max_shrink`; one for each ratio r.

    Args:
        polygon: (k, 2) in pixels; A is its area and P its perimeter (PSENet, CVPR 2019, equation 2).
        ratios: 1 leaves the polygon as it is.
    """
    points = polygon.tolist()  # a dozen points are faster one by one than as arrays
    edges = list(zip(points, points[1:] + points[:1]))
    area = abs(sum(x * next_y - y * next_x for (x, y), (next_x, next_y) in edges)) / 2
    perimeter = sum(math.dist(*edge) for edge in edges)
    return [min(int(area * (1 - ratio**2) / (perimeter + 1e-3) + 0.5), max_shrink) for ratio in ratios]


def shrink(polygon: np.ndarray, ratios: Sequence[float], max_shrink: int = MAX_SHRINK) -> list[np.ndarray]:
    """Shrinks a polygon by Vatti offsets with rounded joins, once for each ratio.

    A polygon that falls apart keeps its largest part: post-processing takes every connected kernel for an
    instance, so a second part would teach the network to break the text in two.

    Args:
        polygon: (k, 2) in pixels, either orientation.
        ratios: shrink ratios, see `shrink_distances`.

    Returns:
        For each ratio (m, 2) float64; the polygon itself where nothing, or less than a triangle, would be left.
    """
    polygon = polygon.astype(np.float64)
    origin = polygon.min(axis=0)
    local = polygon - origin
    offset = pyclipper.PyclipperOffset(2.0, _ARC_TOLERANCE * _SUBPIXEL)
    path = np.rint(local * _SUBPIXEL).astype(np.int64).tolist()
    try:
        offset.AddPath(path, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    except pyclipper.ClipperException:  # nothing left of it on the clipper's grid
        return [polygon] * len(ratios)
    distances = shrink_distances(local, ratios, max_shrink)
    shapes = {0: polygon}
    for distance in set(distances) - {0}:
        parts = [part for part in offset.Execute(-distance * _SUBPIXEL) if len(part) > 2]
        largest = max(parts, key=lambda part: abs(pyclipper.Area(part)), default=None)
        shapes[distance] = polygon if largest is None else np.array(largest) / _SUBPIXEL + origin
    return [shapes[distance] for distance in distances]


def fill(canvas: np.ndarray, polygon: np.ndarray, value: int) -> None:
    """Fills a polygon (k, 2), its outline included, in (H, W) uint8; vertices are rounded to whole pixels."""
    cv2.fillPoly(canvas, [np.rint(polygon).astype(np.int32)], value)


def text_map(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, 1 inside any of the polygons."""
    text = np.zeros(size, np.uint8)
    for polygon in polygons:
        fill(text, polygon, 1)
    return text


def make_targets(
    polygons: Sequence[np.ndarray],
    ignore: np.ndarray,
    size: tuple[int, int],
    ratios: Sequence[float],
    valid: tuple[int, int] | None = None,
) -> Targets:
    """Draws the maps of one image.

    Ignored polygons are text with kernels, as in the published systems, and are cleared from the training
    mask; so hard-negative mining never ranks their pixels, which a good detector calls text, among the
    negatives. They are no instances. Only polygons that reach into the image are numbered. Instances beyond the
    200th are treated as ignored.

    Args:
        polygons: n arrays (k, 2) in pixels of the maps, after scaling and not clipped: the shrinking must see
            the whole polygon.
        ignore: (n,) bool.
        size: (H, W) of the maps.
        ratios: K shrink ratios.
        valid: (h, w), the part of the maps that the image covers; the rest is padding, which is not text and
            stays in the training mask. Default: all.
    """
    maps = np.zeros((2 + len(ratios), *size), np.uint8)
    text, instances, kernels = maps[0], maps[1], maps[2:]
    training_mask = np.ones(size, np.uint8)
    h, w = valid or size
    count = 0
    for polygon, ignored in zip(polygons, ignore):
        if not reaches(polygon, (h, w)):
            continue
        fill(text, polygon, 1)
        for kernel, shape in zip(kernels, shrink(polygon, ratios)):
            fill(kernel, shape, 1)
        if ignored or count == MAX_INSTANCES:
            fill(training_mask, polygon, 0)
        else:
            count += 1
            fill(instances, polygon, count)
    maps[:, h:] = 0
    maps[:, :, w:] = 0
    training_mask[h:] = 1
    training_mask[:, w:] = 1
    kernels &= text  # a polygon that winds twice round its middle has a hole when drawn, not when shrunk
    return Targets(text, kernels, training_mask, instances)


def reaches(polygon: np.ndarray, size: tuple[int, int]) -> bool:
    """True if the bounding box of a polygon (k, 2) overlaps an image of size (H, W)."""
    (x0, y0), (x1, y1) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
    return x1 > -0.5 and y1 > -0.5 and x0 < size[1] - 0.5 and y0 < size[0] - 0.5
