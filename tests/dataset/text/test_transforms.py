"""Geometry: matrices against step-by-step references, images against polygons, places of the crops; and colour."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.images import normalise, read_image
from dataset.text.records import TextRecord
from dataset.text.samples import TrainTransform
from dataset.text.transforms import (
    ASPECTS,
    SCALES,
    Geometry,
    draw_colour,
    draw_crop,
    draw_geometry,
    jitter_colour,
    map_points,
    resize_for_test,
    scaled_size,
    translate,
    warp,
)
from reference.augmentation import grey_levels, overlap, plain_sample, renumbered

sides = st.integers(100, 1500)  # of images that are not scaled less for their shape


@pytest.mark.parametrize(
    ("size", "short", "scale", "expected"),
    [
        ((480, 640), 640, 1.0, (640, 864)),  # 640 · 4/3 = 853 up to 864
        ((640, 640), 640, 1.0, (640, 640)),
        ((641, 640), 640, 1.0, (672, 640)),
        ((640, 480), 640, 0.7, (608, 448)),  # 597 and 448
        ((1, 1), 640, 1.0, (640, 640)),
        ((500, 500), 10, 1.0, (32, 32)),
        ((40, 640), 640, 1.0, (640, 10240)),
        ((4, 3000), 640, 1.0, (32, 10240)),  # the long side is 16 times 640, not 480000
        ((3000, 4), 64, 0.7, (736, 32)),  # 717 up
    ],
)
def test_scaled_size_by_hand(size, short, scale, expected):
    assert scaled_size(size, short, scale) == expected


@given(sides, sides, st.sampled_from(SCALES), st.sampled_from(ASPECTS))
def test_scaled_size_rounds_up(h, w, scale, aspect):
    out = scaled_size((h, w), 640, scale, aspect)
    exact = h * 640 * scale / min(h, w) * aspect**0.5, w * 640 * scale / min(h, w) / aspect**0.5
    for side, wanted in zip(out, exact):
        assert side % 32 == 0 and -0.5 <= side - wanted < 32.5


@given(
    sides,
    sides,
    st.booleans(),
    st.floats(-10, 10),
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 9),
)
def test_matrix_is_the_steps_one_by_one(h, w, flip, angle, top, left, seed):
    """A reference in plain floats: scale about pixel centres, mirror, rotate about the centre, move."""
    canvas = scaled_size((h, w), 640)
    points = np.random.default_rng(seed).uniform(-50, 1500, (6, 2))
    matrix = translate(Geometry((h, w), canvas, flip, angle).matrix(), top, left)
    for (x, y), mapped in zip(points, map_points(points, matrix)):
        x, y = (x + 0.5) * canvas[1] / w - 0.5, (y + 0.5) * canvas[0] / h - 0.5
        if flip:
            x = canvas[1] - 1 - x
        right, up = x - (canvas[1] - 1) / 2, (canvas[0] - 1) / 2 - y
        radius, turn = math.hypot(right, up), math.atan2(up, right) + math.radians(angle)
        x = (canvas[1] - 1) / 2 + radius * math.cos(turn) - left
        y = (canvas[0] - 1) / 2 - radius * math.sin(turn) - top
        np.testing.assert_allclose(mapped, (x, y), atol=1e-7)


def test_flip_twice_is_nothing():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    matrix = Geometry((64, 96), (64, 96), flip=True).matrix()
    once = warp(image, matrix, 96, (64, 96))
    np.testing.assert_array_equal(once[:64], image[:, ::-1])
    np.testing.assert_array_equal(warp(once[:64], matrix, 96, (64, 96))[:64], image)
    points = np.array([[3.25, 4], [95, 63]])
    np.testing.assert_allclose(map_points(map_points(points, matrix), matrix), points)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 10.0, -7.3])
@pytest.mark.parametrize("canvas", [(200, 300), (448, 672), (608, 640)])
def test_drawn_square_and_its_polygon_agree(canvas, angle, flip):
    """Pixels 80..139 × 60..119 are white; their area has its corners at half-integers."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:120, 80:140] = 255
    corners = np.array([[79.5, 59.5], [139.5, 59.5], [139.5, 119.5], [79.5, 119.5]])
    matrix = translate(Geometry((200, 300), canvas, flip, angle).matrix(), 10, 20)
    white = warp(image, matrix, 640, (640, 640))[..., 0]
    polygon = map_points(corners, matrix)
    found = cv2.minAreaRect(np.argwhere(white > 127)[:, ::-1].astype(np.float32))
    np.testing.assert_allclose(found[0], polygon.mean(axis=0), atol=0.5)
    ys, xs = np.mgrid[:640, :640]
    moments = np.array([(white * xs).sum(), (white * ys).sum()]) / white.sum(dtype=float)
    np.testing.assert_allclose(moments, polygon.mean(axis=0), atol=0.05)
    contour = polygon.astype(np.float32)
    edges = cv2.findContours((white > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
    depth = [cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in edges[:, 0]]
    assert min(depth) > -0.5 and max(depth) < 1.5  # outermost white pixels: centres at most half a pixel outside


def test_scaling_alone_is_that_of_resize():
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (100, 140, 3), np.uint8), (0, 0), 2)
    warped = warp(image, Geometry((100, 140), (160, 224)).matrix(), 160, (160, 160))
    resized = resize_for_test(image, 160)
    assert resized.shape == (160, 224, 3)
    inner = np.s_[4:-4, 4:-4]  # at the border the warp blends with the padding, the resizing does not
    difference = np.abs(warped.astype(int) - resized[:, :160].astype(int))
    assert difference[inner].max() <= 2


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([32, 160, 448]),
    st.booleans(),
    st.floats(-10, 10),
    st.integers(0, 300),
    st.integers(0, 300),
)
@settings(max_examples=60, deadline=None)
def test_warp_is_that_of_the_whole_image_at_once(h, w, crop_size, flip, angle, top, left):
    """Also where the crop shows a corner of the image, or nothing of it."""
    image = np.random.default_rng(h).integers(0, 256, (h, w, 3), np.uint8)
    matrix = translate(Geometry((h, w), (320, 480), flip, angle).matrix(), top, left)
    valid = min(crop_size, 320), min(crop_size, 352)
    out = warp(image, matrix, crop_size, valid)
    whole = np.zeros((crop_size, crop_size, 3), np.uint8)
    whole[: valid[0], : valid[1]] = cv2.warpAffine(image, matrix, valid[::-1], flags=cv2.INTER_LINEAR)
    assert np.abs(out.astype(int) - whole).max() <= 8  # some versions place pixels to 1/32 of the next


def test_what_is_beyond_the_canvas_is_padding():
    image = np.full((100, 200, 3), 255, np.uint8)
    geometry = Geometry((100, 200), (320, 640), angle=10)
    out = warp(image, geometry.matrix(), 640, (320, 640))
    assert out.shape == (640, 640, 3) and not out[320:].any() and out[:320].any()


def text_at(size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    text = np.zeros(size, np.uint8)
    for top, left, h, w in boxes:
        text[top : top + h, left : left + w] = 1
    return text


boxes = st.lists(
    st.tuples(st.integers(0, 380), st.integers(0, 380), st.integers(1, 20), st.integers(1, 20)), max_size=4
)


@given(st.integers(33, 400), st.integers(33, 400), boxes, st.integers(0, 10**6), st.sampled_from([None, 0.0, 0.3, 1.0]))
@settings(max_examples=200)
def test_crop_lies_in_the_canvas_and_contains_text_when_chosen(h, w, placed, seed, share):
    text = text_at((h, w), placed)
    size = 64
    top, left = draw_crop(np.random.default_rng(seed), text, size, *([] if share is None else [share]))
    assert 0 <= top <= max(h - size, 0) and 0 <= left <= max(w - size, 0)
    share = 5 / 8 if share is None else share
    chosen = np.random.default_rng(seed).random() < share  # the first number drawn decides
    if chosen and text.any() and (h > size or w > size):
        assert text[top : top + size, left : left + size].any()


def test_crop_is_uniform_without_text_and_published_rule_with():
    draws = [draw_crop(np.random.default_rng(s), np.zeros((68, 64), np.uint8), 64) for s in range(1000)]
    counts = np.bincount([top for top, _ in draws], minlength=5)
    assert {left for _, left in draws} == {0} and len(counts) == 5 and counts.min() > 150
    text = text_at((500, 64), [(200, 0, 101, 64)])  # rows 200..300: the crop begins at 136..236
    with_text = [t for s in range(1000) for t, _ in [draw_crop(np.random.default_rng(s), text, 64)] if chosen(s)]
    assert 550 < len(with_text) < 700
    assert min(with_text) == 137 and max(with_text) == 236  # at 136 the window would end just above the text


def chosen(seed: int) -> bool:
    return np.random.default_rng(seed).random() < 5 / 8


def test_crop_over_two_far_corners_still_contains_text():
    """The box around both spans the canvas, and almost no window within it meets either."""
    text = text_at((2000, 2000), [(0, 0, 2, 2), (1998, 1998, 2, 2)])
    for seed in filter(chosen, range(60)):
        top, left = draw_crop(np.random.default_rng(seed), text, 64)
        assert text[top : top + 64, left : left + 64].any()


def test_drawn_geometry_covers_the_published_range():
    drawn = [draw_geometry(np.random.default_rng(s), (640, 640), 640) for s in range(500)]
    assert {g.canvas for g in drawn} == {(s, s) for s in (448, 512, 576, 640, 704, 768, 832)}
    assert 200 < sum(g.flip for g in drawn) < 300
    angles = np.array([g.angle for g in drawn])
    assert -10 <= angles.min() < -9.8 and 9.8 < angles.max() <= 10 and abs(angles.mean()) < 1
    jittered = {draw_geometry(np.random.default_rng(s), (640, 640), 640, True).canvas for s in range(300)}
    assert (704, 704) in jittered and any(h != w for h, w in jittered)


def test_colour_against_a_reference_in_floats():
    image = np.random.default_rng(2).integers(0, 256, (16, 16, 3), np.uint8)
    for seed in range(20):
        brightness, saturation = draw_colour(np.random.default_rng(seed))
        assert abs(brightness - 1) <= 32 / 255 and abs(saturation - 1) <= 0.5
        bright = np.clip(image * brightness, 0, 255)
        grey = bright @ np.array([0.299, 0.587, 0.114])
        expected = np.clip(grey[..., None] + (bright - grey[..., None]) * saturation, 0, 255)
        assert np.abs(jitter_colour(image, brightness, saturation) - expected).max() <= 1.6
    np.testing.assert_array_equal(jitter_colour(image, 1, 1), image)
    assert not jitter_colour(np.zeros((4, 4, 3), np.uint8), 1.1, 1.4).any()  # padding stays


def test_drawn_colours_cover_the_published_range():
    brightness, saturation = np.array([draw_colour(np.random.default_rng(seed)) for seed in range(500)]).T
    for factors, reach in ((brightness, 32 / 255), (saturation, 0.5)):
        assert 1 - reach <= factors.min() < 1 - 0.98 * reach and 1 + 0.98 * reach < factors.max() <= 1 + reach


def test_normalise():
    image = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    out = normalise(image)
    assert out.shape == (3, 5, 7) and out.dtype == np.float32
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red first
    expected = np.transpose((image / 255 - mean) / deviation, (2, 0, 1))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(220, 300), (420, 180), (100, 100)])
def test_sample_against_one_step_after_the_other(tmp_path, shape):
    rng = np.random.default_rng(shape[0])
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3), np.uint8), (0, 0), 4)
    pixels = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX)
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    places = [(x, y) for y in range(5, shape[0] - 40, 55) for x in range(5, shape[1] - 70, 80)]
    box = np.array([[0, 0], [30, 4], [62, 0], [62, 30], [30, 34], [0, 30]], np.float32)
    polygons = [box + np.float32(place) for place in places]
    ignore = np.arange(len(polygons)) % 4 == 2
    record = TextRecord(tmp_path / "a.jpg", polygons, ignore, [""] * len(polygons))
    transform = TrainTransform(192, 192, kernel_num=3, min_scale=0.6)
    for seed in range(6):
        ours = transform(read_image(record.image_path), record, np.random.default_rng(seed))
        reference = plain_sample(record, np.random.default_rng(seed), 192, transform.ratios)
        assert ours.name == reference.name and grey_levels(ours.image, reference.image) < 2
        assert overlap(ours.targets.text, reference.targets.text) > 0.95
        assert overlap(renumbered(ours.targets.instances), renumbered(reference.targets.instances)) > 0.95
        for kernel, expected in zip(ours.targets.kernels, reference.targets.kernels):
            assert overlap(kernel, expected) > 0.9
        assert overlap(1 - ours.targets.training_mask, 1 - reference.targets.training_mask) > 0.95


@pytest.mark.parametrize("shape", [(300, 420), (90, 1200), (1200, 90)])
def test_sample_image_and_maps_agree(shape):
    """White squares on black: where the text map says text, the image is white, and nowhere else."""
    image, polygons = np.zeros((*shape, 3), np.uint8), []
    for top in range(15, shape[0] - 60, 120):
        for left in range(15, shape[1] - 60, 120):
            image[top : top + 50, left : left + 50] = 255
            polygons.append(np.array([[0, 0], [49, 0], [49, 49], [0, 49]], np.float32) + np.float32([left, top]))
    record = TextRecord(Path("a.png"), polygons, np.zeros(len(polygons), bool), [""] * len(polygons))
    transform = TrainTransform(320, 320, kernel_scale=0.7, aspect_jitter=True)
    for seed in range(8):
        sample = transform(image, record, np.random.default_rng(seed))
        bright = (sample.image.mean(axis=0) > 0)[5:-5, 5:-5]  # nearer, squares beyond the crop shine in
        text = sample.targets.text
        assert sample.image.shape == (3, 320, 320) and sample.targets.training_mask.all()
        window = np.ones((9, 9), np.uint8)  # up to 4.6 pixels for one of the image, half of it to each side
        inside = cv2.erode(text, window, borderValue=1)[5:-5, 5:-5] == 1
        outside = cv2.dilate(text, window)[5:-5, 5:-5] == 0
        assert not bright[outside].any()
        assert bright[inside].sum() >= 0.995 * inside.sum()


def test_a_rule_of_4_by_3000_pixels_is_a_sample(tmp_path):
    rule = np.arange(3000 * 4, dtype=np.uint32).reshape(4, 3000, 1).astype(np.uint8).repeat(3, axis=2)
    polygon = np.array([(100, 0), (2900, 0), (2900, 3), (100, 3)], np.float32)
    record = TextRecord(Path("rule.png"), [polygon], np.zeros(1, bool), [""])
    sample = TrainTransform(640, 640, kernel_scale=0.5)(rule, record, np.random.default_rng(0))
    assert sample.image.shape == (3, 640, 640) and sample.targets.instances.max() == 1
    assert resize_for_test(rule, 640).shape == (32, 10240, 3)
