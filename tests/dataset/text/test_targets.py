"""Shrinking and the target maps."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.text.targets import fill, make_targets, shrink, shrink_distances, shrink_ratios

SQUARE = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], float)


@st.composite
def stars(draw, low: float = 20, high: float = 75) -> np.ndarray:
    """Simple polygons around (80, 80), convex or not, of either orientation."""
    radii = np.array(draw(st.lists(st.floats(low, high), min_size=3, max_size=14)))
    angles = np.arange(len(radii)) * 2 * math.pi / len(radii) + draw(st.floats(0, 2))
    polygon = 80 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return polygon[::-1] if draw(st.booleans()) else polygon


def area(polygon: np.ndarray) -> float:
    """A reference of the area, by triangles in a loop."""
    total = 0.0
    for i in range(1, len(polygon) - 1):
        (ax, ay), (bx, by) = polygon[i] - polygon[0], polygon[i + 1] - polygon[0]
        total += (ax * by - ay * bx) / 2
    return abs(total)


def no_ignore(n: int) -> np.ndarray:
    return np.zeros(n, bool)


def test_shrink_of_a_square_by_hand():
    # A = 10000, P = 400: 10000 · (1 − 0.49) / 400.001 + 0.5 = 13.25, so 13
    assert shrink_distances(SQUARE, [0.7]) == [13]
    [shrunk] = shrink(SQUARE, [0.7])
    np.testing.assert_allclose(shrunk.min(axis=0), 13)
    np.testing.assert_allclose(shrunk.max(axis=0), 87)
    assert area(shrunk) == pytest.approx(74**2)


def test_shrink_is_limited():
    assert shrink_distances(SQUARE * 10, [0.5]) == [20]
    assert shrink_distances(SQUARE * 10, [0.5], max_shrink=100) == [100]
    assert shrink_distances(SQUARE, [1.0]) == [0]
    np.testing.assert_array_equal(shrink(SQUARE, [1.0]), [SQUARE])


@given(stars(), st.floats(0.1, 1))
@settings(max_examples=100, deadline=None)
def test_shrink_distance_is_the_formula(polygon, ratio):
    perimeter = sum(math.dist(polygon[i - 1], polygon[i]) for i in range(len(polygon)))
    exact = area(polygon) * (1 - ratio * ratio) / (perimeter + 1e-3) + 0.5
    assert shrink_distances(polygon, [ratio])[0] in {min(int(exact - 1e-9), 20), min(int(exact + 1e-9), 20)}


@given(stars(), st.floats(0.3, 0.95))
@settings(max_examples=60, deadline=None)
def test_shrunk_polygon_keeps_its_distance_from_the_edges(polygon, ratio):
    [distance], [shrunk] = shrink_distances(polygon, [ratio]), shrink(polygon, [ratio])
    contour = polygon.astype(np.float32)
    depths = [cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in shrunk]
    if np.array_equal(shrunk, polygon):
        inside = [cv2.pointPolygonTest(contour, (x, y), True) for x in range(5, 156, 3) for y in range(5, 156, 3)]
        assert distance == 0 or max(inside) < distance + 0.1  # nothing is that deep: vanished
    else:
        assert min(depths) > distance - 0.3  # the rounded joins are made of straight pieces
        assert min(depths) < distance + 0.1


@given(stars(), st.lists(st.floats(0.2, 1), max_size=7))
@settings(max_examples=60, deadline=None)
def test_shrinking_to_several_ratios_is_shrinking_to_each(polygon, ratios):
    together, alone = shrink(polygon, ratios), [shrink(polygon, [ratio])[0] for ratio in ratios]
    assert len(together) == len(ratios)
    for first, second in zip(together, alone):
        np.testing.assert_array_equal(first, second)


def test_vanishing_polygon_keeps_its_full_shape():
    thin = np.array([[0, 0], [300, 0], [300, 1.5], [0, 1.5]], float)
    np.testing.assert_array_equal(shrink(thin, [0.1]), [thin])
    assert shrink_distances(thin, [0.1]) == [1]  # it would lose 2 of its 1.5 pixels
    maps = make_targets([thin + 10], no_ignore(1), (32, 320), (0.1,))
    np.testing.assert_array_equal(maps.kernels[0], maps.text)


def test_kernel_of_a_polygon_that_crosses_itself_lies_in_its_text():
    angles = np.arange(5) * 4 * math.pi / 5  # a pentagram: drawing leaves its middle empty
    pentagram = 80 + 75 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    maps = make_targets([pentagram], no_ignore(1), (160, 160), (0.9,))
    assert maps.text[80, 80] == 0 and maps.kernels.any()
    assert not (maps.kernels[0] & ~maps.text).any()


def test_polygon_that_falls_apart_keeps_its_largest_part():
    outline = "0,0 60,0 60,28 120,28 120,10 160,10 160,50 120,50 120,32 60,32 60,60 0,60"
    dumb_bell = np.array([point.split(",") for point in outline.split()], float)
    maps = make_targets([dumb_bell + 5], no_ignore(1), (80, 180), (0.7,))
    count, labels = cv2.connectedComponents(maps.kernels[0])
    assert shrink_distances(dumb_bell, [0.7])[0] > 2 and count == 2
    assert labels[35, 35] == 1  # the left, larger end


def test_shrink_ratios_of_psenet():
    np.testing.assert_allclose(shrink_ratios(7, 0.7), [0.95, 0.9, 0.85, 0.8, 0.75, 0.7])
    np.testing.assert_allclose(shrink_ratios(7, 0.4), [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


@given(stars(), st.floats(0.4, 0.9))
@settings(max_examples=40, deadline=None)
def test_maps_against_literal_rasterisation(polygon, ratio):
    """Rounding moves a vertex by at most √½ pixel, and the outline reaches half a pixel beyond the edges."""
    maps = make_targets([polygon], no_ignore(1), (160, 160), (ratio,))
    for drawn, shape in ((maps.text, polygon), (maps.kernels[0], shrink(polygon, [ratio])[0])):
        contour = shape.astype(np.float32)
        depth = np.array(
            [[cv2.pointPolygonTest(contour, (x, y), True) for x in range(0, 160, 2)] for y in range(0, 160, 2)]
        )
        assert drawn[::2, ::2][depth > 0.72].all()
        assert not drawn[::2, ::2][depth < -1.22].any()
    np.testing.assert_array_equal(maps.instances, maps.text)
    assert maps.training_mask.all()


@given(st.lists(st.tuples(stars(), st.floats(-90, 90), st.floats(-90, 90), st.booleans()), max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_holds_between_maps(items):
    polygons = [polygon + np.array([dx, dy]) for polygon, dx, dy, _ in items]
    ignore = np.array([flag for *_, flag in items], bool)
    maps = make_targets(polygons, ignore, (160, 160), (0.9, 0.5), valid=(140, 130))
    everything = maps.text, maps.training_mask, maps.instances, maps.kernels
    assert all(m.dtype == np.uint8 for m in everything)
    assert maps.kernels.shape == (2, 160, 160)
    assert not (maps.kernels & ~maps.text).any()  # kernels lie in the text
    assert not maps.instances[maps.text == 0].any()
    assert maps.instances[(maps.text == 1) & (maps.training_mask == 1)].all()  # trained text has an instance
    for m in (maps.text, maps.instances, *maps.kernels, 1 - maps.training_mask):
        assert not m[140:].any() and not m[:, 130:].any()  # the padding
    ignored = np.zeros((160, 160), np.uint8)
    for polygon, flag in zip(polygons, ignore):
        if flag:
            fill(ignored, polygon, 1)
    np.testing.assert_array_equal(maps.training_mask[:140, :130], 1 - ignored[:140, :130])


def test_later_instance_covers_earlier_and_ignored_take_no_number():
    polygons = [SQUARE * 0.2, SQUARE * 0.2 + 50, SQUARE * 0.2 + 10, SQUARE + 500]
    maps = make_targets(polygons, np.array([False, True, False, False]), (100, 100), (0.7,))
    assert maps.instances[5, 5] == 1 and maps.instances[15, 15] == 2 and maps.instances[25, 25] == 2
    assert maps.instances[60, 60] == 0 and maps.text[60, 60] == 1 and maps.kernels[0, 60, 60] == 1
    assert maps.training_mask[60, 60] == 0 and maps.training_mask.sum() == 100 * 100 - 21 * 21
    assert maps.instances.max() == 2  # the last one is not in the image


def test_more_than_200_instances():
    polygons = [SQUARE * 0.06 + (10 * (i % 20), 10 * (i // 20)) for i in range(230)]
    maps = make_targets(polygons, no_ignore(230), (120, 200), (0.7,))
    assert sorted(np.unique(maps.instances)) == list(range(201))
    assert maps.text[103, 103] == 1 and maps.training_mask[103, 103] == 0 and maps.instances[103, 103] == 0
    assert maps.training_mask[:100].all()


def test_no_polygon():
    maps = make_targets([], no_ignore(0), (32, 64), (0.7,))
    assert not maps.text.any() and not maps.instances.any() and maps.training_mask.all()
    assert maps.kernels.shape == (1, 32, 64) and not maps.kernels.any()


def test_kernel_of_a_cropped_polygon_is_that_of_the_whole():
    whole = make_targets([SQUARE + 10], no_ignore(1), (120, 120), (0.7,))
    part = make_targets([SQUARE + 10 - (50, 40)], no_ignore(1), (32, 32), (0.7,))
    for name in ("text", "kernels", "instances"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., 40:72, 50:82])


def test_padding_is_background_that_is_trained():
    """Text and ignored text that reach beyond the image are cut off at its border."""
    whole = np.array([(10, 10), (90, 10), (90, 90), (10, 90)], np.float64)
    for ignored in (False, True):
        targets = make_targets([whole], np.array([ignored]), (100, 100), [0.7], valid=(40, 60))
        for maps in (targets.text, targets.kernels[0], targets.instances):
            assert not maps[40:].any() and not maps[:, 60:].any()
        assert targets.text[10:40, 10:60].all() and targets.kernels[0, 39, 59]
        assert targets.training_mask[40:].all() and targets.training_mask[:, 60:].all()
        assert (targets.training_mask[10:40, 10:60] == (not ignored)).all()


def test_coordinates_far_outside():
    far = np.array([[-1e6, 10], [1e6, 10], [1e6, 40], [-1e6, 40]])
    maps = make_targets([far, far[:, ::-1]], no_ignore(2), (64, 64), (0.7,))
    expected = np.zeros((64, 64), np.uint8)
    expected[10:41] = 1
    np.testing.assert_array_equal(maps.text, expected | expected.T)
