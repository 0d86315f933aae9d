"""Maps at stride 4 to instances, and instances to scored polygons in original pixels."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from post_processing.extension import pa, pse

BBOX_TYPES = ("poly", "rect")


class Detection(NamedTuple):
    """One text instance."""

    polygon: np.ndarray  # (n, 2) float32, n >= 3, x and y in pixels of the original image
    score: float  # mean text probability over the instance, 0 to 1


def _masks_and_score(logits: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first ``count`` maps, text and kernels, as (count, h, w) bool, and the text probability (h, w) float32.

    Text is where the text logit is above 0, kernel where both its own and the text logit are.
    """
    masks = logits[:count] > 0
    masks[1:] &= masks[0]
    with np.errstate(over="ignore"):  # exp of a very negative logit: infinite, and the score a clean 0
        score = 1 / (1 + np.exp(-logits[0].astype(np.float32, copy=False)))
    return masks, score


def decode_pan(logits: np.ndarray, min_area: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Instances from the six output maps of a PAN head (PAN, Wang et al., ICCV 2019, section 3.4).

    Embeddings outside the text, which the method sets to zero, are never looked at: kernels lie inside the
    text and growth stays there.

    Args:
        logits: (6, h, w) float: text, kernel, four embedding channels; at stride 4.
        min_area: smallest kernel kept, in pixels of this map.

    Returns:
        labels (h, w) int32, 0 = background, and score (h, w) float32, the text probability.

    Raises:
        ValueError: another shape.  InputError: the compiled extension is missing.
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[0] != 6:
        raise ValueError(f"decode_pan: logits must have shape (6, h, w), got {logits.shape}")
    kernels, score = _masks_and_score(logits, 2)
    return pa(kernels, logits[2:], min_area), score


def decode_psenet(logits: np.ndarray, min_area: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Instances from the output maps of a PSENet head (PSENet, Wang et al., CVPR 2019, Algorithm 1).

    Args:
        logits: (n, h, w) float, n >= 2 (7 in the paper): text, then kernels from large to small; at stride 4.
        min_area: smallest of the smallest kernels kept, in pixels of this map.

    Returns:
        labels (h, w) int32, 0 = background, and score (h, w) float32, the text probability.

    Raises:
        ValueError: another shape.  InputError: the compiled extension is missing.
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[0] < 2:
        raise ValueError(f"decode_psenet: logits must have shape (n, h, w) with n of at least 2, got {logits.shape}")
    kernels, score = _masks_and_score(logits, len(logits))
    return pse(kernels, min_area), score


class _Axis(NamedTuple):
    """How nearest-neighbour resizing maps one axis of the label map to the network input."""

    repeats: np.ndarray  # (n,) int64: copies of each source row or column
    starts: np.ndarray  # (n,) int64: where the first copy lies


def _axis(source: int, target: int) -> _Axis:
    """Taken from cv2 itself, so that its rounding cannot differ from a resize of the whole map."""
    index = np.arange(source, dtype=np.float32)[None]  # exact up to 2**24
    mapped = cv2.resize(index, (target, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.int64)
    repeats = np.bincount(mapped, minlength=source)
    return _Axis(repeats, np.cumsum(repeats) - repeats)


def _boxes(labels: np.ndarray, count: int) -> np.ndarray:
    """(count, 4) int64: first row, first column, last row and last column of each label of a (h, w) map."""
    ys, xs = np.nonzero(labels)
    of = labels[ys, xs]
    boxes = np.empty((count, 4), dtype=np.int64)
    boxes[:, :2] = max(labels.shape)
    boxes[:, 2:] = -1
    for axis, values in enumerate((ys, xs)):
        np.minimum.at(boxes[:, axis], of, values)
        np.maximum.at(boxes[:, axis + 2], of, values)
    return boxes


def _passing_masks(
    labels: np.ndarray, score: np.ndarray, rows: _Axis, columns: _Axis, min_area: float, min_score: float
) -> Iterator[tuple[np.ndarray, tuple[int, int], float]]:
    """(mask, (x, y) of its corner, score) at network-input size of each instance that passes, by label.

    Counts and sums weigh every pixel of the small map by its number of copies; in float64 that loses nothing.
    """
    count = int(labels.max()) + 1
    copies = np.multiply.outer(rows.repeats, columns.repeats).astype(np.float64)
    flat = labels.ravel()
    area = np.bincount(flat, weights=copies.ravel(), minlength=count)
    total = np.bincount(flat, weights=(copies * score).ravel(), minlength=count)
    mean = total / np.maximum(area, 1)
    passing = (area >= max(min_area, 1)) & (mean >= min_score)
    passing[0] = False
    boxes = _boxes(labels, count)
    for label in np.flatnonzero(passing):
        top, left, bottom, right = (int(v) for v in boxes[label])
        window = (labels[top : bottom + 1, left : right + 1] == label).view(np.uint8)
        window = window.repeat(rows.repeats[top : bottom + 1], axis=0)
        window = window.repeat(columns.repeats[left : right + 1], axis=1)
        yield window, (int(columns.starts[left]), int(rows.starts[top])), float(mean[label])


def _outline(mask: np.ndarray, corner: tuple[int, int], bbox_type: str) -> np.ndarray:
    """(n, 2) outline of the set pixels of a mask whose first pixel lies at ``corner`` (x, y)."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
    if bbox_type == "poly":
        largest = max(contours, key=cv2.contourArea)  # the first of equals
        if cv2.contourArea(largest) > 0:
            return largest[:, 0]
    else:
        hull = cv2.convexHull(np.concatenate(contours))
        if cv2.contourArea(hull) > 0:
            return cv2.boxPoints(cv2.minAreaRect(hull))
    # One pixel wide: a line through pixel centres encloses nothing, so take the squares around the centres.
    centres = np.concatenate(contours)[:, 0].astype(np.float32)
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

    Equals bringing both maps to the network-input size by nearest neighbour and working there, without doing
    so.
    An outline runs through pixel centres. One that encloses no area, that of an instance one pixel wide, is
    replaced by the minimum-area rectangle of the unit squares around its pixels.

    Args:
        labels: (h, w) int, 0 = background.
        score: (h, w) float text probability.
        network_size: (height, width) of the network input.
        original_size: (height, width) of the original image.
        min_area: fewest pixels at network-input size.
        min_score: lowest mean score.
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
    labels = labels.astype(np.int64, copy=False)
    height, width = network_size
    rows, columns = _axis(labels.shape[0], height), _axis(labels.shape[1], width)
    scale = np.array([original_size[1] / width, original_size[0] / height])
    detections = []
    for mask, corner, mean in _passing_masks(labels, score, rows, columns, min_area, min_score):
        polygon = (_outline(mask, corner, bbox_type) * scale).astype(np.float32)
        detections.append(Detection(polygon, mean))
    return detections
