"""Polygon areas for scoring: vectorised, and defined for every list of points a detector may write."""

from collections.abc import Sequence

import numpy as np
import shapely

EMPTY = shapely.Polygon()
FARTHEST = 1e9  # pixels; squares of larger numbers lose what the areas are about


def make_shapes(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """The regions enclosed by n polygons, as an (n,) array of valid shapely geometries.

    A contour that crosses, touches or repeats itself encloses its points by the even-odd rule. One that
    encloses nothing (fewer than three distinct points, points on a line, coordinates that are NaN or beyond
    1e9) becomes an empty geometry of area 0: it keeps its place, so that it counts as a false detection.

    Args:
        polygons: (points, 2) arrays of x and y in pixels; repeating the first point at the end is optional.
    """
    shapes = np.full(len(polygons), EMPTY, dtype=object)
    rings, owners = [], []
    for i, polygon in enumerate(polygons):
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        if len(points) > 1 and (points[0] == points[-1]).all():
            points = points[:-1]
        if len(points) >= 3 and (np.abs(points) < FARTHEST).all():  # false for NaN
            rings.append(points)
            owners.append(i)
    if not rings:
        return shapes
    index = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    built = shapely.polygons(shapely.linearrings(np.concatenate(rings), indices=index))
    for i in np.flatnonzero(~shapely.is_valid(built)):
        built[i] = _even_odd(rings[i])
    shapes[owners] = built
    return shapes


def _even_odd(ring: np.ndarray) -> shapely.Geometry:
    """What a (points, 2) ring encloses by the even-odd rule.

    ``shapely.make_valid`` is not it: it merges a stretch of contour that is walked twice into one.
    """
    outline = shapely.linestrings(np.concatenate([ring, ring[:1]]))
    faces = np.array(shapely.polygonize([shapely.unary_union(outline)]).geoms, dtype=object)
    if not len(faces):
        return EMPTY
    x, y = _inner_points(faces, outline).T[..., None]  # (faces, 1)
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T  # (edges,)
    spans = (y0 > y) != (y1 > y)  # (faces, edges): edges at the height of the point
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = spans & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return shapely.union_all(faces[crossings.sum(axis=1) % 2 == 1])


def _inner_points(faces: np.ndarray, outline: shapely.Geometry) -> np.ndarray:
    """(n, 2) points inside n faces, away from the outline.

    A stretch walked to and fro may run through a face, and a point upon it would be on either side at random.
    Of three points found in three directions the one farthest from the outline is taken.
    """
    candidates = []
    for angle in (0.0, 0.7, 1.9):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = shapely.transform(faces, lambda points, turn=turn: points @ turn)
        candidates.append(shapely.get_coordinates(shapely.point_on_surface(turned)) @ turn.T)
    points = np.stack(candidates)  # (3, faces, 2)
    farthest = shapely.distance(shapely.points(points), outline).argmax(axis=0)
    return points[farthest, np.arange(len(faces))]


def intersection_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) areas of overlap, in square pixels, of two arrays from ``make_shapes``."""
    overlap = np.zeros((len(a), len(b)))
    box_a, box_b = shapely.bounds(a)[:, None], shapely.bounds(b)[None]  # NaN for empty shapes: never a pair
    with np.errstate(invalid="ignore"):
        low = np.maximum(box_a[..., :2], box_b[..., :2])
        high = np.minimum(box_a[..., 2:], box_b[..., 2:])
        i, j = np.nonzero((low < high).all(axis=-1))
    overlap[i, j] = shapely.area(shapely.intersection(a[i], b[j]))
    return overlap


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) intersection over union of two arrays from ``make_shapes``; 0 where both are empty."""
    overlap = intersection_areas(a, b)
    union = shapely.area(a)[:, None] + shapely.area(b)[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
