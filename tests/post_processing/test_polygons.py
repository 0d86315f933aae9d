"""Label maps to polygons: the crops give what a resize of the whole map gives."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from post_processing import decode_pan, decode_psenet, labels_to_polygons
from reference.polygons import label_polygons
from reference.post_processing import pa_reference, pse_reference


@st.composite
def label_maps(draw):
    """Blobs, lines and scattered parts under one label; score above one half as inside a text map."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.zeros((height, width), np.int32)
    for label in range(1, draw(st.integers(0, 6)) + 1):
        y, x = rng.integers(height), rng.integers(width)
        rows, columns = rng.integers(1, 9, size=2)
        window = labels[y : y + rows, x : x + columns]
        window[rng.random(window.shape) < draw(st.sampled_from([0.3, 0.8, 1.0]))] = label
    score = (0.5 + rng.integers(0, 129, size=labels.shape) / 256).astype(np.float32)
    any_size = (draw(st.integers(1, 70)), draw(st.integers(1, 70)))
    size = draw(st.sampled_from([(height * 4, width * 4), any_size]))
    return labels, score, size, (draw(st.integers(1, 300)), draw(st.integers(1, 300)))


@settings(max_examples=400, deadline=None)
@given(
    label_maps(),
    st.sampled_from([0, 1, 2, 16, 40]),
    st.sampled_from([0.0, 0.7, 0.75]),
    st.sampled_from(["poly", "rect"]),
)
def test_equals_full_size_reference(case, min_area, min_score, bbox_type):
    expected = label_polygons(*case, min_area, min_score, bbox_type)
    got = labels_to_polygons(*case, min_area=min_area, min_score=min_score, bbox_type=bbox_type)
    outlines = label_polygons(*case, min_area, min_score, "points")
    assert len(got) == len(expected) == len(outlines)
    for ours, theirs, outline in zip(got, expected, outlines):
        assert ours.polygon.dtype == np.float32 and len(ours.polygon) >= 3
        if bbox_type == "rect" and not np.array_equal(ours.polygon, theirs.polygon):  # two rectangles of least area
            assert cv2.contourArea(ours.polygon) == pytest.approx(cv2.contourArea(theirs.polygon), rel=1e-4)
            reach = [cv2.pointPolygonTest(ours.polygon, point, True) for point in outline.polygon.tolist()]
            assert min(reach) > -1e-3 * max(1, *case[3])  # and around all of it
        else:
            np.testing.assert_array_equal(ours.polygon, theirs.polygon)
        assert ours.score == pytest.approx(theirs.score, abs=1e-12)


def blob(label=1, shape=(10, 12)):
    labels = np.zeros(shape, np.int32)
    labels[2:5, 3:8] = label
    return labels, np.full(shape, 0.9, np.float32)


def test_hand_computed_polygon():
    labels, score = blob()
    (found,) = labels_to_polygons(labels, score, (40, 48), (20, 96))
    # Columns 12..31 and rows 8..19 of the network input; twice as wide and half as high in the original.
    assert sorted(map(tuple, found.polygon.tolist())) == [(24.5, 3.75), (24.5, 9.25), (62.5, 3.75), (62.5, 9.25)]
    assert found.score == pytest.approx(0.9)


def test_coordinates_are_not_rounded():
    labels, score = blob()
    (found,) = labels_to_polygons(labels, score, (40, 48), (33, 37))
    assert found.polygon[:, 0].max() == np.float32(31.5 * 37 / 48 - 0.5)


def test_thresholds_are_inclusive():
    labels, score = blob()
    score[:] = 0.875
    options = {"min_score": 0.875, "min_area": 15}
    assert len(labels_to_polygons(labels, score, (10, 12), (10, 12), **options)) == 1
    assert not labels_to_polygons(labels, score, (10, 12), (10, 12), min_score=0.876, min_area=15)
    assert not labels_to_polygons(labels, score, (10, 12), (10, 12), min_score=0.875, min_area=16)


def test_the_largest_part_is_outlined():
    labels, score = blob()
    labels[8:10, 0:2] = 1
    (found,) = labels_to_polygons(labels, score, (40, 48), (40, 48))
    assert found.polygon.min(axis=0).tolist() == [12, 8]
    (box,) = labels_to_polygons(labels, score, (40, 48), (40, 48), bbox_type="rect")
    assert box.polygon.shape == (4, 2) and box.polygon[:, 0].min() < 12


@pytest.mark.parametrize("bbox_type", ["poly", "rect"])
@pytest.mark.parametrize(
    ("ys", "xs", "area"),
    [([3], [4], 1), ([3] * 5, range(2, 7), 5), (range(2, 7), [4] * 5, 5), (range(5), range(5), None)],
)
def test_instances_one_pixel_wide_become_rectangles_with_an_area(bbox_type, ys, xs, area):
    labels = np.zeros((10, 10), np.int32)
    labels[list(ys), list(xs)] = 1
    score = np.ones((10, 10), np.float32)
    (found,) = labels_to_polygons(labels, score, (10, 10), (10, 10), min_area=1, bbox_type=bbox_type)
    assert found.polygon.shape == (4, 2)
    got = cv2.contourArea(found.polygon)
    assert got == pytest.approx(area, abs=1e-4) if area else got > 1


def test_large_label_numbers_and_types():
    labels, score = blob(label=7)
    expected = labels_to_polygons(labels, score, (40, 48), (40, 48))
    large = labels.astype(np.int64) * 10**12
    for other in (labels.astype(np.uint8), labels.astype(np.uint64), large, np.asfortranarray(labels)):
        (found,) = labels_to_polygons(other, score, (40, 48), (40, 48))
        np.testing.assert_array_equal(found.polygon, expected[0].polygon)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 4)])
def test_nothing_found(shape):
    assert labels_to_polygons(np.zeros(shape, np.int32), np.zeros(shape, np.float32), (16, 16), (9, 9)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox_type": "quad"}, "bbox_type must be one of poly, rect"),
        ({"score": np.zeros((3, 3))}, "of one shape"),
        ({"labels": np.zeros((10, 12))}, "integers"),
        ({"labels": np.full((10, 12), -1)}, "negative"),
        ({"network_size": (0, 5)}, "at least 1"),
    ],
)
def test_bad_arguments_are_refused(change, words):
    labels, score = blob()
    arguments = {"labels": labels, "score": score, "network_size": (40, 48), "original_size": (9, 9)} | change
    with pytest.raises(ValueError, match=words):
        labels_to_polygons(**arguments)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3]), st.sampled_from([(0.5, 0.5), (0.7, 0.4), (0.3, 0.9)]))
def test_decode_pan_follows_its_definition(seed, min_area, least):
    rng = np.random.default_rng(seed)
    logits = rng.normal(loc=0.4, scale=2, size=(6, 9, 14)).astype(np.float32)
    labels, score = decode_pan(logits, min_area, *least)
    text, kernel = 1 / (1 + np.exp(-logits[:2].astype(np.float64))) > np.array(least)[:, None, None]
    kernel &= text
    np.testing.assert_array_equal(labels, pa_reference(np.stack([text, kernel]), logits[2:] * text, min_area))
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-logits[0].astype(np.float64))), atol=1e-6)
    assert labels.dtype == np.int32 and score.dtype == np.float32


def test_decode_pan_on_extreme_logits_and_bad_shapes():
    logits = np.full((6, 2, 2), 1e30, np.float64)
    logits[0, 0] = -1e30
    logits[0, 1, 1] = np.nan
    labels, score = decode_pan(logits)
    assert labels.tolist() == [[0, 0], [1, 0]]
    assert score[0].tolist() == [0, 0] and score[1, 0] == 1
    with pytest.raises(ValueError, match=r"\(6, h, w\)"):
        decode_pan(np.zeros((7, 2, 2)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.sampled_from([0, 3]))
def test_decode_psenet_follows_its_definition(seed, n, min_area):
    rng = np.random.default_rng(seed)
    logits = rng.normal(loc=1, scale=2, size=(n, 9, 14)).astype(np.float32)
    labels, score = decode_psenet(logits, min_area)
    text = logits[0] > 0
    np.testing.assert_array_equal(labels, pse_reference((logits > 0) & text, min_area))
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-logits[0].astype(np.float64))), atol=1e-6)
    assert labels.dtype == np.int32 and score.dtype == np.float32


def test_decode_psenet_on_extreme_logits_and_bad_shapes():
    logits = np.full((7, 2, 2), 1e300, np.float64)  # beyond float32
    logits[0, 0] = -1e300
    logits[0, 1, 1] = np.nan
    labels, score = decode_psenet(logits)
    assert labels.tolist() == [[0, 0], [1, 0]]
    assert score[0].tolist() == [0, 0] and score[1, 0] == 1
    for shape in ((1, 2, 2), (7, 2)):
        with pytest.raises(ValueError, match=r"decode_psenet: logits must have shape \(n, h, w\)"):
            decode_psenet(np.zeros(shape))
