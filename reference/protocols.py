"""Random text annotations, slow areas independent of the scorers, and one-to-one matching, for tests of protocols."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import Polygon
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st

ROUNDING = 1e-9
# Derandomised: a crash of Polygon3 would take the whole test run with it.
polygon3_settings = settings(deadline=None, derandomize=True)


def box(x0, y0, x1, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


def polygon3_overlap(a, b):
    """Even-odd area shared by two contours, by Polygon3: clipping applies that rule, its constructor does not."""
    try:
        a, b = Polygon.Polygon(a), Polygon.Polygon(b)
    except Polygon.Error:  # fewer than three points
        return 0.0
    return ((a & a) & (b & b)).area()


def exact_overlap(a, b):
    """Even-odd area shared by two contours in rational numbers, slab by slab between heights where edges end or cross.

    For contours with coincident edges, on which Polygon3 is sometimes wrong or crashes.
    """
    edges = [(edge, owner) for owner, points in enumerate((a, b)) for edge in rational_edges(points)]
    heights = {y for (_, _, y0, y1), _ in edges for y in (y0, y1)}
    for (x, slope, y0, _), _ in edges:
        for (u, other, v0, _), _ in edges:
            if slope != other:
                heights.add((u - other * v0 - x + slope * y0) / (slope - other))
    area = Fraction(0)
    for low, high in pairwise(sorted(heights)):
        middle = (low + high) / 2
        spans = [(x + slope * (middle - y0), o) for (x, slope, y0, y1), o in edges if y0 <= low and high <= y1]
        inside, last = [False, False], None
        for x, owner in sorted(spans):
            area += (x - last) * (high - low) if all(inside) else 0
            inside[owner], last = not inside[owner], x
    return float(area)


def rational_edges(points):
    """(x at the lower end, slope dx/dy, lower y, upper y) of the edges that are not horizontal."""
    corners = [(Fraction(x), Fraction(y)) for x, y in np.asarray(points).tolist()]
    for p, q in zip(corners, corners[1:] + corners[:1]):
        if p[1] != q[1]:
            (x0, y0), (x1, y1) = sorted((p, q), key=lambda corner: corner[1])
            yield x0, (x1 - x0) / (y1 - y0), y0, y1


class Image(NamedTuple):
    ground_truth: list[np.ndarray]
    ignored: list[bool]
    predictions: list[np.ndarray] | None  # None: no result file


class SlowAreas(NamedTuple):
    """Areas of each ground truth and each prediction, and of their intersections, by ground truth."""

    ground_truth: list[float]
    predictions: list[float]
    shared: list[list[float]]

    def ious(self):
        """Lists of IoU with all predictions, one list per ground truth."""
        return [[self._iou(g, d) for d in range(len(self.predictions))] for g in range(len(self.ground_truth))]

    def _iou(self, g, d):
        union = self.ground_truth[g] + self.predictions[d] - self.shared[g][d]
        return self.shared[g][d] / union if union > 0 else 0.0


class Oracle(NamedTuple):
    """Source of a slow reference's areas, and their comparison: cases that rounding may decide are not tested."""

    overlap: Callable[[np.ndarray, np.ndarray], float]
    ties: bool  # True if values equal to a threshold are exact in the scorers, too, as for boxes

    def areas(self, image):
        predictions = image.predictions or []
        shared = [[self.overlap(g, d) for d in predictions] for g in image.ground_truth]
        assume(not any(0 < area < ROUNDING for row in shared for area in row))
        return SlowAreas(*([self.overlap(p, p) for p in ps] for ps in (image.ground_truth, predictions)), shared)

    def above(self, value, threshold):
        self._sure(value, threshold)
        return value > threshold

    def at_least(self, value, threshold):
        self._sure(value, threshold)
        return value >= threshold

    def _sure(self, value, other):
        assume(abs(value - other) > ROUNDING or (self.ties and value == other))


POLYGON3 = Oracle(polygon3_overlap, ties=True)
RATIONAL = Oracle(exact_overlap, ties=False)


def random_polygon(rng, kind):
    """Curved bands as in the benchmarks, or contours that may cross or repeat themselves or enclose nothing."""
    if kind == "band":
        x0, y0, width, height, bend = rng.integers([0, 0, 8, 3, -12], [60, 60, 50, 15, 13])
        along = np.linspace(0, 1, 7)
        top = np.stack([x0 + along * width, y0 + bend * np.sin(along * 3)], axis=1)
        return np.round(np.concatenate([top, top[::-1] + np.array([0, height])]))
    if kind == "quad":  # four points in convex position, mostly
        return box(*rng.integers(0, 40, 2), *rng.integers(40, 80, 2)) + rng.uniform(-15, 15, (4, 2))
    if kind == "random":
        return rng.uniform(0, 60, size=(rng.integers(3, 9), 2))
    if kind == "grid":  # small integers: shared edges, repeated points, zero areas
        return rng.integers(0, 5, size=(rng.integers(1, 9), 2)) * 10.0
    corners = rng.integers(0, 11, size=(2, 2)) * 10.0
    return box(*corners[0], *corners[1])


def pieces(polygon):
    """Two parts of a band or box that touch, or nothing."""
    if len(polygon) == 14:
        return [polygon[[0, 1, 2, 3, 10, 11, 12, 13]], polygon[3:11]]
    if len(polygon) == 4:
        (x0, y0), (x1, y1) = polygon[0], polygon[2]
        return [box(x0, y0, x0 + 10, y1), box(x0 + 10, y0, x1, y1)]
    return []


@st.composite
def images(draw, kinds, most=6):
    """Draws texts of some kinds, and predictions that are unrelated, shifted, split or merged."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = draw(st.sampled_from(kinds))
    ground_truth = [random_polygon(rng, rng.choice(chosen)) for _ in range(draw(st.integers(0, most)))]
    predictions = [random_polygon(rng, rng.choice(chosen)) for _ in range(draw(st.integers(0, most)))]
    for polygon in list(ground_truth):
        chance = rng.random()
        if chance < 0.4:
            predictions.insert(rng.integers(len(predictions) + 1), polygon + rng.integers(-4, 5, size=2))
        elif chance < 0.6:
            predictions += pieces(polygon)
        elif chance < 0.7:
            predictions += [polygon]
            ground_truth += pieces(polygon)
    ignored = (rng.random(len(ground_truth)) < 0.2).tolist()
    return Image(ground_truth, ignored, predictions if rng.random() < 0.95 else None)


def test_sets(kinds, most=6):
    """Strategy for lists of images; each entry of ``kinds`` lists the polygon kinds that one image may combine."""
    return st.lists(images(kinds, most), min_size=1, max_size=3)


test_sets.__test__ = False  # keeps pytest from collecting the function

# Polygon kinds on which each oracle is correct.
polygon3_sets = test_sets([("band",), ("quad",), ("random",), ("box",), ("band", "random", "box")])
rational_sets = test_sets([("grid",), ("grid", "box")], most=3)


class Expected(NamedTuple):
    """Result of a slow reference for one image: credits, and their divisors."""

    recall: float
    ground_truth: int
    precision: float
    predictions: int

    def scores(self):
        precision = self.precision / self.predictions if self.predictions else 0.0
        recall = self.recall / self.ground_truth if self.ground_truth else 0.0
        hmean = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return {
            "precision": pytest.approx(precision, abs=1e-9),
            "recall": pytest.approx(recall, abs=1e-9),
            "hmean": pytest.approx(hmean, abs=1e-9),
            "ground_truth": self.ground_truth,
            "predictions": self.predictions,
        }


def assert_scores(scorer, test_set: Sequence[Image], expected: Sequence[Expected | None]):
    """Asserts the expected scores, in each image and pooled; None: the image is left out."""
    for i, image in enumerate(test_set):
        scorer.update(str(i), image.ground_truth, image.predictions, image.ignored)
    summary = scorer.summary()
    counting = {str(i): found for i, found in enumerate(expected) if found is not None}
    pooled = Expected(*map(sum, zip(*counting.values()))) if counting else Expected(0, 0, 0, 0)
    assert summary.items() >= pooled.scores().items()
    assert summary["per_image"].keys() == counting.keys()
    for image_id, found in counting.items():
        assert summary["per_image"][image_id].items() >= found.scores().items()
    assert summary["images"] == len(counting)
    assert summary["images_without_result"] == sum(image.predictions is None for image in test_set)


def slow_one_to_one_in_file_order(image: Image, areas: SlowAreas, oracle: Oracle) -> Expected:
    """ICDAR 2015 counts, one pair at a time; also valid for Total-Text's variant by IoU."""
    left_out = set()
    for g, row in enumerate(areas.shared):
        for d, area in enumerate(row):
            if image.ignored[g] and areas.predictions[d] > 0 and oracle.above(area / areas.predictions[d], 0.5):
                left_out.add(d)
    taken_truths, taken_predictions = set(), set()
    for g, row in enumerate(areas.ious()):
        for d, iou in enumerate(row):
            unmatched = g not in taken_truths and d not in taken_predictions
            if unmatched and not image.ignored[g] and d not in left_out and oracle.above(iou, 0.5):
                taken_truths.add(g)
                taken_predictions.add(d)
    count, judged = len(taken_truths), len(areas.predictions) - len(left_out)
    return Expected(count, image.ignored.count(False), count, judged)


def score(scorer, ground_truth, predictions, ignored=None):
    """Returns the scorer's summary of one image."""
    scorer.update("1", ground_truth, predictions, ignored)
    return scorer.summary()
