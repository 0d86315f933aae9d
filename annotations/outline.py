"""Checks of whole outlines: corners in order along the outline, and coordinates in pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_MAX_CORNERS = 64  # of the polygons checked: all pairs of edges are compared


def crosses(polygon: np.ndarray) -> bool:
    """True if two edges of a polygon (k, 2) cross, beyond touching; always False for more than 64 corners."""
    if not 4 <= len(polygon) <= _MAX_CORNERS:
        return False
    a, b = polygon, np.roll(polygon, -1, axis=0)
    side_a, side_b = _sides(a, b, a), _sides(a, b, b)  # (edge, corner)
    apart = side_a * side_b < 0  # the row's edge separates the end points of the column's edge
    return bool((apart & apart.T).any())


def in_order(polygon: np.ndarray) -> np.ndarray:
    """Reorders the corners of a polygon whose only defect is their order; returns any other unchanged.

    The most common mistake is row-by-row order: the upper corners from left to right, then the lower ones from left
    to right, too. Four corners have one order without crossing edges, up to direction and start.

    Args:
        polygon: (k, 2), x and y.
    """
    if not crosses(polygon):
        return polygon
    half = (len(polygon) + 1) // 2
    orders = [[*range(half), *reversed(range(half, len(polygon)))]]
    if len(polygon) == 4:
        orders.append([0, 2, 1, 3])
    return next((polygon[order] for order in orders if not crosses(polygon[order])), polygon)


def are_fractions(polygons: Iterable[np.ndarray]) -> bool:
    """True if all coordinates lie within 0..1, like fractions of an image's sides, and not all are 0 or 1."""
    found = False
    for polygon in polygons:
        if polygon.min() < 0 or polygon.max() > 1:
            return False
        found = found or bool((polygon % 1).any())
    return found


def _sides(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(k, m): on which side of the line from a to b (k, 2) each of m points lies: -1, 1, or 0 on the line."""
    along, to = (b - a)[:, None], points[None] - a[:, None]
    return np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
