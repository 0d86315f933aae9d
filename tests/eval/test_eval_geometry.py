"""Areas of polygons as scores use them, against slow references: another clipping library, rational numbers."""

import numpy as np
import pytest
from hypothesis import given, settings

from eval.geometry import Areas, intersection_areas, make_shapes
from reference.protocols import POLYGON3, RATIONAL, box, exact_overlap, polygon3_sets, polygon3_settings, rational_sets


def assert_areas_agree(image, oracle):
    predictions = image.predictions or []
    ours, slow = Areas.of(image.ground_truth, predictions), oracle.areas(image)
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(ours.ground_truth, slow.ground_truth, **close)
    np.testing.assert_allclose(ours.predictions, slow.predictions, **close)
    shape = ours.shared.shape
    np.testing.assert_allclose(ours.shared, np.reshape(slow.shared, shape), **close)
    np.testing.assert_allclose(ours.iou, np.reshape(slow.ious(), shape), **close)
    assert all(shape.is_valid for shape in make_shapes([*image.ground_truth, *predictions]))


@settings(polygon3_settings, max_examples=250)
@given(polygon3_sets)
def test_areas_agree_with_polygon3(test_set):
    for image in test_set:
        assert_areas_agree(image, POLYGON3)


@settings(max_examples=40, deadline=None)
@given(rational_sets)
def test_areas_agree_with_exact_arithmetic(test_set):
    for image in test_set:
        assert_areas_agree(image, RATIONAL)


def test_a_stretch_walked_to_and_fro_inside_a_region():
    # (30, 30) to (10, 10) and back again crosses the middle of the larger face.
    polygon = np.array([[40, 30], [0, 0], [20, 30], [30, 30], [10, 10], [40, 40], [30, 10]])
    assert make_shapes([polygon])[0].area == pytest.approx(exact_overlap(polygon, polygon), rel=1e-12)


def test_what_crosses_itself_encloses_by_the_even_odd_rule():
    bow_tie = np.array([[0, 0], [10, 10], [10, 0], [0, 10]])
    twice_round = np.tile(box(0, 0, 10, 10), (2, 1))
    assert [shape.area for shape in make_shapes([bow_tie, twice_round])] == [50, 0]


@pytest.mark.parametrize("polygon", [box(0, 0, 10, 10), np.array([[0, 0], [10, 10], [10, 0], [0, 10]])])
def test_point_order_and_closing_point_do_not_matter(polygon):
    others = [polygon[::-1], np.roll(polygon, 1, axis=0), np.concatenate([polygon, polygon[:1]])]
    np.testing.assert_array_equal(Areas.of([polygon], others).iou, [[1, 1, 1]])


def test_what_encloses_nothing_keeps_its_place():
    nothing = [
        np.empty((0, 2)),
        np.array([[1, 1]]),
        np.array([[0, 0], [5, 5]]),
        np.array([[0, 0], [5, 5], [0, 0]]),
        np.array([[0, 0], [5, 5], [9, 9], [3, 3]]),
        np.array([[2, 2]] * 4),
        np.array([[0, 0], [np.nan, 5], [5, 5]]),
        np.array([[0, 0], [np.inf, 5], [5, 5]]),
        np.array([[0, 0], [1e300, 1e300], [1e300, 0], [0, 1e300]]),
    ]
    square = box(0, 0, 10, 10)
    areas = Areas.of([*nothing, square], [square, *nothing])
    n = len(nothing)
    expected = np.zeros((n + 1, n + 1))
    expected[n, 0] = 1
    for ratios in (areas.iou, areas.covered, areas.inside):
        np.testing.assert_array_equal(ratios, expected)
    assert areas.ground_truth.tolist() == [0] * n + [100] and areas.predictions.tolist() == [100] + [0] * n


def test_ratios_by_hand():
    # 10 x 10 and 10 x 20 share 10 x 5.
    areas = Areas.of([box(0, 0, 10, 10)], [box(0, 5, 10, 25)])
    assert (areas.covered.item(), areas.inside.item(), areas.iou.item()) == (0.5, 0.25, 0.2)


def test_shapes_that_only_touch_share_nothing():
    assert Areas.of([box(0, 0, 1, 1)], [box(1, 0, 2, 1), box(1, 1, 2, 2)]).shared.tolist() == [[0, 0]]
    # (3.5, 1.4) lies on the common edge but for rounding, which leaves an overlap of 4e-16 square pixels.
    a, b = make_shapes([np.array([[5, 2], [0, 0], [6, 1]]), np.array([[3.5, 1.4], [0, 0], [7, 7]])])
    assert 0 < a.intersection(b).area < 1e-12
    assert intersection_areas(np.array([a]), np.array([b])).item() == 0


def test_shapes_side_by_side_are_not_taken_for_one_inside_the_other():
    # On either side of one line, but for rounding: 1.3 times as far. GEOS 3.14 takes all of b for what they share.
    corner, along, across = np.array([28, 4]), np.array([-26, 21]), np.array([21, 26])
    a = np.array([corner, corner + along, corner + along / 2 - 3 * across])
    b = np.array([corner, corner + 1.3 * along, corner + along / 2 + 2 * across])
    assert exact_overlap(a, b) < 1e-12
    assert Areas.of([a], [b]).shared.item() == 0


def test_areas_of_many_shapes_side_by_side():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        corner, along = rng.integers(0, 30, (2, 2))
        across = np.array([-along[1], along[0]])
        above, below = rng.integers(1, 30, 2) / 10
        a = np.array([corner, corner + along, corner + along / 2 + above * across])
        b = np.array([corner, corner + rng.choice([0.1, 0.7, 1 / 3, 1.3, 1.7]) * along, corner - below * across])
        assert Areas.of([a], [b]).shared.item() == 0


def test_selection():
    areas = Areas.of([box(0, 0, 10, 10), box(0, 0, 5, 10)], [box(0, 0, 10, 5), box(0, 0, 2, 2), box(9, 9, 10, 10)])
    chosen = areas.select(np.array([False, True]), np.array([True, False, True]))
    assert chosen.ground_truth.tolist() == [50] and chosen.predictions.tolist() == [50, 1]
    assert chosen.shared.tolist() == [[25, 0]]
