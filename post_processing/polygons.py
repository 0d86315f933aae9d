"""Maps of a detector to instances, and instances to scored polygons in original pixels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain, islice
from typing import NamedTuple

import cv2
import numpy as np

from post_processing.extension import pa, pse

BBOX_TYPES = ("poly", "rect")
_XY = np.arange(2)


class Detection(NamedTuple):
    """One text instance."""

    polygon: np.ndarray  # (n, 2) float32, n >= 3, x and y in pixels of the original image
    score: float  # mean text probability over the instance, 0 to 1


def _masks_and_score(
    logits: np.ndarray, count: int, min_text: float, min_kernel: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first ``count`` maps, text and kernels, as (count, h, w) bool, and the text probability (h, w) float32.

    Text is where the text probability is above `min_text`, kernel where its own is above `min_kernel`, too.
    """
    least = np.array([min_text, *[min_kernel] * (count - 1)])
    masks = logits[:count] > np.log(least / (1 - least)).astype(np.float32)[:, None, None]  # 0 for 0.5
    masks[1:] &= masks[0]
    with np.errstate(over="ignore"):  # exp of a very negative logit: infinite, and the score a clean 0
        score = 1 / (1 + np.exp(-logits[0].astype(np.float32, copy=False)))
    return masks, score


def decode_pan(
    logits: np.ndarray, min_area: float = 0, min_text: float = 0.5, min_kernel: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Instances from the six output maps of a PAN head (PAN, Wang et al., ICCV 2019, section 3.4).

    Embeddings outside the text, which the method sets to zero, are not read: kernels lie inside the
    text and growth stays there.

    Args:
        logits: (6, h, w) float: text, kernel, four embedding channels.
        min_area: smallest kernel kept, in pixels of this map.
        min_text, min_kernel: probabilities, between 0 and 1, above which a pixel is text, and kernel.

    Returns:
        labels (h, w) int32, 0 = background, and score (h, w) float32, the text probability.

    Raises:
        ValueError: another shape.  InputError: the compiled extension is missing.
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[0] != 6:
        raise ValueError(f"decode_pan: logits must have shape (6, h, w), got {logits.shape}")
    kernels, score = _masks_and_score(logits, 2, min_text, min_kernel)
    return pa(kernels, logits[2:], min_area), score


def decode_psenet(
    logits: np.ndarray, min_area: float = 0, min_text: float = 0.5, min_kernel: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Instances from the output maps of a PSENet head (PSENet, Wang et al., CVPR 2019, Algorithm 1).

    Args:
        logits: (n, h, w) float, n >= 2 (7 in the paper): text, then kernels from large to small.
        min_area: smallest of the smallest kernels kept, in pixels of this map.
        min_text, min_kernel: probabilities, between 0 and 1, above which a pixel is text, and kernel.

    Returns:
        labels (h, w) int32, 0 = background, and score (h, w) float32, the text probability.

    Raises:
        ValueError: another shape.  InputError: the compiled extension is missing.
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[0] < 2:
        raise ValueError(f"decode_psenet: logits must have shape (n, h, w) with n of at least 2, got {logits.shape}")
    kernels, score = _masks_and_score(logits, len(logits), min_text, min_kernel)
    return pse(kernels, min_area), score


def decoder(maps: Sequence[str]) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """What decodes output maps of these meanings: pixel aggregation if there is an embedding among them, else PSE."""
    return decode_pan if "embedding" in maps else decode_psenet


class _Axis(NamedTuple):
    """Map of one axis of the label map to the network input by nearest-neighbour resizing.

    An outline passes straight along the copies between the first and the last one of a row or column, so it is
    traced where there are no others.
    """

    copies: np.ndarray  # (n,) int64: of each source row or column
    edges: np.ndarray  # (m,) int64: the source of each first or last copy
    positions: np.ndarray  # (m,) int64: where those lie in the network input
    starts: np.ndarray  # (n + 1,) int64: where those of each source begin


@lru_cache
def _axis(source: int, target: int) -> _Axis:
    """Taken from cv2 itself, so that its rounding cannot differ from a resize of the whole map."""
    index = np.arange(source, dtype=np.float32)[None]  # exact up to 2**24
    mapped = cv2.resize(index, (target, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.int64)
    is_edge = np.ones(target, bool)
    is_edge[1:-1] = (mapped[1:-1] != mapped[:-2]) | (mapped[1:-1] != mapped[2:])
    positions = np.flatnonzero(is_edge)
    edges = mapped[positions]
    return _Axis(np.bincount(mapped, minlength=source), edges, positions, np.searchsorted(edges, np.arange(source + 1)))


class _Instances(NamedTuple):
    """Properties of each label of a map, by number."""

    area: np.ndarray  # (n,) float64: pixels at network-input size
    score: np.ndarray  # (n,) float64: mean over these
    boxes: np.ndarray  # (n, 4) int64: top, left, bottom and right in the map, the last two exclusive


def _instances(labels: np.ndarray, score: np.ndarray, rows: _Axis, columns: _Axis) -> _Instances:
    """Counts and sums over the horizontal runs of one label, every pixel weighed by its number of copies."""
    is_start = np.ones(labels.shape, bool)
    is_start[:, 1:] = labels[:, 1:] != labels[:, :-1]
    starts = np.flatnonzero(is_start)
    y, left = np.divmod(starts, labels.shape[1])
    right = left + np.diff(starts, append=labels.size)
    of = labels.ravel()[starts].astype(np.int64)
    count = int(of.max()) + 1

    before = np.concatenate([[0], np.cumsum(columns.copies)])
    areas = rows.copies[y] * (before[right] - before[left])
    sums = rows.copies[y] * np.add.reduceat((score * columns.copies).ravel(), starts)
    area = np.bincount(of, weights=areas, minlength=count)
    mean = np.bincount(of, weights=sums, minlength=count) / np.maximum(area, 1)

    boxes = np.repeat([[*labels.shape, 0, 0]], count, axis=0)
    for side, (extreme, values) in enumerate(
        ((np.minimum, y), (np.minimum, left), (np.maximum, y + 1), (np.maximum, right))
    ):
        extreme.at(boxes[:, side], of, values)
    return _Instances(area, mean, boxes)


def _masks(
    labels: np.ndarray, found: np.ndarray, boxes: np.ndarray, rows: _Axis, columns: _Axis
) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """The mask of each label found, among first and last copies of rows and columns, and where its corner lies there.

    Args:
        found: (k,) numbers of the labels.
        boxes: (k, 4) of these labels, as in `_Instances`.
    """
    edge_map = labels.take(columns.edges, axis=1).take(rows.edges, axis=0)
    top, left, bottom, right = boxes.T
    windows = np.stack([rows.starts[top], columns.starts[left], rows.starts[bottom], columns.starts[right]], axis=1)
    for label, (top, left, bottom, right) in zip(found.tolist(), windows.tolist()):
        yield (edge_map[top:bottom, left:right] == label).view(np.uint8), (left, top)


def _contours(masks: Iterable[tuple[np.ndarray, tuple[int, int]]], positions: np.ndarray) -> list[list[np.ndarray]]:
    """By mask, the outer contours (k, 2) int32, x and y at network-input size, of the parts of the instance.

    Args:
        masks: at least one, and where their corners lie, as from `_masks`.
        positions: (m, 2) int32, where the columns (first) and rows of the masks lie in the network input.
    """
    method = cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    traced = [cv2.findContours(mask, *method, offset=corner)[0] for mask, corner in masks]
    contours = list(chain.from_iterable(traced))
    points = positions[np.concatenate(contours)[:, 0], _XY]
    parts = iter(_split(points, contours))
    return [list(islice(parts, len(found))) for found in traced]


def _split(points: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    """Cuts points in a row into pieces as long as those of `like`."""
    ends = list(accumulate(map(len, like)))
    return [points[start:end] for start, end in zip([0, *ends], ends)]


def _outline(contours: list[np.ndarray], bbox_type: str) -> np.ndarray:
    """(n, 2) outline of an instance, from the (k, 2) int32 contours of its parts."""
    if bbox_type == "poly":
        areas = [cv2.contourArea(contour) for contour in contours]
        if max(areas) > 0:
            return contours[areas.index(max(areas))]
    else:
        hull = cv2.convexHull(np.concatenate(contours))
        if cv2.contourArea(hull) > 0:
            return cv2.boxPoints(cv2.minAreaRect(hull))
    # One pixel wide: a line through pixel centres encloses nothing, so take the squares around the centres.
    centres = np.concatenate(contours).astype(np.float32)
    corners = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)], dtype=np.float32)
    return cv2.boxPoints(cv2.minAreaRect((centres[:, None] + corners).reshape(-1, 2)))


def labels_to_polygons(
    labels: np.ndarray,
    score: np.ndarray,
    network_size: tuple[int, int],
    original_size: tuple[int, int],
    *,
    min_area: float = 16,
    min_score: float = 0.88,
    bbox_type: str = "poly",
) -> list[Detection]:
    """Scored polygons in pixels of the original image, by label number (PAN, Wang et al., ICCV 2019).

    Equivalent to resizing both maps to the network input by nearest neighbour, but computed without the resize.

    An outline runs through pixel centres. One that encloses no area, that of an instance one pixel wide, is
    replaced by the minimum-area rectangle of the unit squares around its pixels.

    Args:
        labels: (h, w) int, 0 = background.
        score: (h, w) float text probability.
        network_size: (height, width) of the network input.
        original_size: (height, width) of the original image.
        min_area: minimum area, pixels at network-input size.
        min_score: minimum mean score, 0 to 1.
        bbox_type: ``poly``, the outer contour of the instance's largest part, or ``rect``, the minimum-area
            rectangle of its pixels as 4 corners.

    Raises:
        ValueError: shapes that differ, sizes below 1, labels that are negative or no integers, or another
            ``bbox_type``.
    """
    labels, score = np.asarray(labels), np.asarray(score)
    if bbox_type not in BBOX_TYPES:
        raise ValueError(f"bbox_type must be one of {', '.join(BBOX_TYPES)}, got {bbox_type!r}")
    if labels.ndim != 2 or labels.shape != score.shape:
        raise ValueError(f"labels and score must be (h, w) of one shape, got {labels.shape} and {score.shape}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got dtype {labels.dtype}")
    if min(*network_size, *original_size) < 1:
        raise ValueError(f"network_size {network_size} and original_size {original_size} must be at least 1")
    if labels.size == 0 or not labels.any():
        return []
    if labels.min() < 0:
        raise ValueError("labels must not be negative")
    if labels.max() > labels.size:  # numbers with gaps that large would cost memory
        _, labels = np.unique(np.append(labels, 0), return_inverse=True)
        labels = labels[:-1].reshape(score.shape)
    height, width = network_size
    rows, columns = _axis(labels.shape[0], height), _axis(labels.shape[1], width)
    instances = _instances(labels, score, rows, columns)
    passing = (instances.area >= max(min_area, 1)) & (instances.score >= min_score)
    passing[0] = False
    found = np.flatnonzero(passing)
    if len(found) == 0:
        return []

    positions = np.zeros((max(len(columns.positions), len(rows.positions)), 2), np.int32)
    positions[: len(columns.positions), 0] = columns.positions
    positions[: len(rows.positions), 1] = rows.positions
    masks = _masks(labels, found, instances.boxes[found], rows, columns)
    outlines = [_outline(contours, bbox_type) for contours in _contours(masks, positions)]
    scale = np.array([original_size[1] / width, original_size[0] / height])
    centres = (np.concatenate(outlines).astype(np.float64) + 0.5) * scale - 0.5  # as the picture was resized
    polygons = _split(centres.astype(np.float32), outlines)
    return [Detection(*both) for both in zip(polygons, instances.score[found].tolist())]


def maps_to_polygons(
    logits: np.ndarray,
    maps: Sequence[str],
    size: tuple[int, int],
    original_size: tuple[int, int],
    min_area: float,
    min_score: float,
    bbox_type: str,
    min_text: float = 0.5,
    min_kernel: float = 0.5,
) -> list[Detection]:
    """Scored polygons in pixels of the original image from the output maps of a network.

    Args:
        logits: (K, h, w) float, of any stride.
        maps: what the maps mean, K of 'text', 'kernel' and 'embedding'.
        size: (height, width) of the network input.
        original_size: (height, width) of the original image.
        min_area, min_score, bbox_type: as in `labels_to_polygons`.
        min_text, min_kernel: as in `decode_pan`.

    Raises:
        ValueError: as `labels_to_polygons`, or another number of maps.  InputError: the compiled extension is missing.
    """
    labels, score = decoder(maps)(logits, min_text=min_text, min_kernel=min_kernel)
    return labels_to_polygons(
        labels, score, size, original_size, min_area=min_area, min_score=min_score, bbox_type=bbox_type
    )
