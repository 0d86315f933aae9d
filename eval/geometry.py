"""Polygon areas for scoring: vectorised, and defined for every list of points that a detector may write."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely

from errors import InputError

logger = logging.getLogger(__name__)

EMPTY = shapely.Polygon()
ROUNDING = 1e-9  # pixels, or square pixels: smaller differences of coordinates and areas are rounding errors
FARTHEST = 1e9  # pixels; squares of larger numbers lose the precision that areas need
MAX_CROSSINGS = 10_000  # self-intersections of the contours of an image: about a second
MAX_PAIRS = 10_000_000  # pairs of a ground truth and a prediction of an image, a few bytes each
MAX_OVERLAPS = 2_000_000  # corners of the pairs that overlap: a few seconds

_CONTOUR = 5  # cost of any contour that is not simple, in crossings
_BLOCK = 256


def make_shapes(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Regions enclosed by n polygons, as an (n,) array of valid shapely geometries.

    A contour that crosses, touches or repeats itself encloses its points by the even-odd rule. One that
    encloses nothing (fewer than three distinct points, points on a line, coordinates that are NaN or beyond
    1e9) becomes an empty geometry of area 0: it keeps its place, so that it counts as a false detection. So do,
    with a warning, those after MAX_CROSSINGS: no detector writes them, and they would take hours.

    Args:
        polygons: (points, 2) arrays of x and y in pixels; repeating the first point at the end is optional.
    """
    shapes = np.full(len(polygons), EMPTY, dtype=object)
    rings = [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
    owners = np.flatnonzero([len(ring) >= 3 for ring in rings])
    if not len(owners):
        return shapes
    sizes = np.array([len(rings[i]) for i in owners])
    points = np.concatenate([rings[i] for i in owners])
    ends = np.cumsum(sizes)
    closed = (points[ends - sizes] == points[ends - 1]).all(axis=1)
    near = np.logical_and.reduceat((np.abs(points) < FARTHEST).all(axis=1), ends - sizes)  # false for NaN
    kept = near & (sizes - closed >= 3)
    index = np.repeat(np.arange(np.count_nonzero(kept)), sizes[kept])
    built = shapely.polygons(shapely.linearrings(points[np.repeat(kept, sizes)], indices=index))
    left, given_up = MAX_CROSSINGS, 0
    for i in np.flatnonzero(~shapely.is_valid(built)):
        ring = rings[owners[kept][i]]
        left -= _CONTOUR + _crossings(ring, left) if left >= 0 else 0
        built[i] = _even_odd(ring) if left >= 0 else EMPTY
        given_up += left < 0
    if given_up:
        logger.warning(
            "%d contours of an image count as enclosing nothing: contours cross themselves more than %d times",
            given_up,
            MAX_CROSSINGS,
        )
    shapes[owners[kept]] = built
    return shapes


def _crossings(ring: np.ndarray, enough: int) -> int:
    """Number of self-intersections of a (points, 2) ring, shared corners excluded; at least `enough` if more."""
    edges = shapely.linestrings(np.stack([ring, np.roll(ring, -1, axis=0)], axis=1))
    tree, found = shapely.STRtree(edges), 0
    for start in range(0, len(edges), _BLOCK):
        block = edges[start : start + _BLOCK]
        found += (tree.query(block, predicate="intersects").shape[1] - 3 * len(block) + 1) // 2
        if found > enough:
            break
    return max(found, 0)


def _even_odd(ring: np.ndarray) -> shapely.Geometry:
    """Region that a (points, 2) ring encloses by the even-odd rule.

    ``shapely.make_valid`` does not apply it: it merges a part of a contour that is traversed twice into one.
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

    A part traversed in both directions may cross a face, and a point on it would be on either side at random.
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
    """Areas of overlap (len(a), len(b)), in square pixels, of two arrays from ``make_shapes``.

    Areas below 1e-9 are rounding errors of shapes that only touch, and become 0.

    Raises:
        InputError: too many shapes: they would take minutes or gigabytes.
    """
    if len(a) * len(b) > MAX_PAIRS:
        raise InputError(f"{len(b):,} shapes are too many to compare with {len(a):,}; keep the best")
    overlap = np.zeros((len(a), len(b)))
    i, j = shapely.STRtree(b).query(a) if len(b) else np.zeros((2, 0), int)
    corners = shapely.get_num_coordinates(a)[i].sum() + shapely.get_num_coordinates(b)[j].sum()
    if corners > MAX_OVERLAPS:
        raise InputError(f"{len(i):,} overlaps of shapes of {corners:,} corners are too many to measure; keep the best")
    areas = shapely.area(_intersections(a[i], b[j]))
    overlap[i, j] = np.where(areas < ROUNDING, 0, areas)
    return overlap


def _intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersections (n,) of n pairs of shapes.

    GEOS now and then returns all of one shape for two that lie side by side, if edges from a common corner differ
    in direction by rounding alone. An intersection must lie in both shapes; where it does not, coordinates are
    snapped to a grid, which is safe and slow.
    """
    shared = shapely.intersection(a, b)
    there = np.flatnonzero(~shapely.is_empty(shared))
    x, y = shapely.get_coordinates(shapely.point_on_surface(shared[there])).T
    doubtful = there[~(shapely.intersects_xy(a[there], x, y) & shapely.intersects_xy(b[there], x, y))]
    shared[doubtful] = shapely.intersection(a[doubtful], b[doubtful], grid_size=ROUNDING)
    return shared


class Areas(NamedTuple):
    """Areas of n ground truths and m predictions of an image and of their overlaps, in square pixels.

    All quantities of the protocols follow from them. A shape that encloses nothing overlaps nothing: its ratios are 0.
    """

    ground_truth: np.ndarray  # (n,)
    predictions: np.ndarray  # (m,)
    shared: np.ndarray  # (n, m)

    @classmethod
    def of(cls, ground_truth: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> "Areas":
        """Computes the areas of (points, 2) polygons; see ``make_shapes``."""
        a, b = make_shapes(ground_truth), make_shapes(predictions)
        return cls(shapely.area(a), shapely.area(b), intersection_areas(a, b))

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union (n, m)."""
        return _ratios(self.shared, self.ground_truth[:, None] + self.predictions - self.shared)

    @property
    def covered(self) -> np.ndarray:
        """Shares (n, m) of the ground truths that the predictions cover: DetEval's sigma."""
        return _ratios(self.shared, self.ground_truth[:, None])

    @property
    def inside(self) -> np.ndarray:
        """Shares (n, m) of the predictions that lie inside the ground truths: DetEval's tau."""
        return _ratios(self.shared, self.predictions[None])

    def select(self, ground_truth: np.ndarray, predictions: np.ndarray) -> "Areas":
        """Selects ground truths and predictions by masks (n,) and (m,) bool."""
        shared = self.shared[np.ix_(ground_truth, predictions)]
        return Areas(self.ground_truth[ground_truth], self.predictions[predictions], shared)


def _ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
