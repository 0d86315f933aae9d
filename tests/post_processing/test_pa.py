"""Pixel aggregation: the compiled function equals its plain-Python reference, label for label."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from post_processing import pa
from reference.post_processing import components, pa_reference

CASES = settings(max_examples=250, deadline=None)


def assert_equals_reference(kernels, emb, min_area=0):
    labels = pa(kernels, emb, min_area)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, pa_reference(np.asarray(kernels), np.asarray(emb), min_area))
    return labels


@st.composite
def maps(draw):
    """Random maps; the kernel is not confined to the text."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    densities = draw(st.tuples(*[st.sampled_from([0.0, 0.05, 0.3, 0.55, 0.7, 0.95, 1.0])] * 2))
    kernels = np.stack([rng.random((height, width)) < density for density in densities]).astype(np.uint8)
    if draw(st.booleans()):
        kernels[1] &= kernels[0]
    return kernels, rng.normal(size=(4, height, width)).astype(np.float32)


@st.composite
def maps_with_flags(draw):
    """A kernel of more than 1024 pixels (mostly) among tiny ones, in one text or in several."""
    height, width = draw(st.integers(40, 64)), draw(st.integers(50, 64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernels = np.zeros((2, height, width), np.uint8)
    kernels[0] = rng.random((height, width)) < draw(st.sampled_from([0.6, 0.9, 1.0]))
    kernels[1] = rng.random((height, width)) < draw(st.sampled_from([0.02, 0.2]))
    top = draw(st.integers(0, 8))
    kernels[1, max(top - 1, 0) : top + 29] = 0
    rows = draw(st.integers(21, 27))
    kernels[:, top : top + rows, 2:48] = 1
    if draw(st.booleans()):
        kernels[1] &= kernels[0]
    emb = rng.normal(scale=draw(st.sampled_from([0.5, 1.5, 3.0])), size=(4, height, width)).astype(np.float32)
    if draw(st.booleans()):
        odd = rng.random(emb.shape) < 0.01
        emb[odd] = rng.choice([np.nan, np.inf, -np.inf, 3e38], size=int(odd.sum()))
    return kernels, emb


@CASES
@given(maps(), st.sampled_from([0, 1, 2, 3, 7.5, 20, -1, np.inf]))
def test_equals_reference(case, min_area):
    assert_equals_reference(*case, min_area)


@settings(max_examples=60, deadline=None)
@given(maps_with_flags(), st.sampled_from([0, 2]))
def test_equals_reference_with_flagged_seeds(case, min_area):
    assert_equals_reference(*case, min_area)


@CASES
@given(maps())
def test_seeds_are_numbered_as_cv2_numbers_components(case):
    kernel = case[0][1]
    _, expected = cv2.connectedComponents(kernel, connectivity=4)
    empty_text = np.stack([np.zeros_like(kernel), kernel])
    np.testing.assert_array_equal(pa(empty_text, case[1]), expected)
    for number, members in enumerate(components(kernel), start=1):
        assert all(expected[pixel] == number for pixel in members)


def test_numbering_on_a_large_map():
    kernel = (np.random.default_rng(0).random((733, 1211)) < 0.55).astype(np.uint8)
    _, expected = cv2.connectedComponents(kernel, connectivity=4)
    labels = pa(np.stack([kernel, kernel]), np.zeros((4, *kernel.shape), np.float32))
    np.testing.assert_array_equal(labels, expected)


def row_map(text: str, kernel: str):
    return np.array([[[int(c) for c in text]], [[int(c) for c in kernel]]], dtype=np.uint8)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200])
def test_kernels_of_any_width(width):
    rng = np.random.default_rng(width)
    kernel = rng.integers(1, 256, (30, width)).astype(np.uint8) * (rng.random((30, width)) < 0.9)
    kernel[::7] = 255  # whole rows
    _, expected = cv2.connectedComponents(kernel, connectivity=4)
    labels = pa(np.stack([np.zeros_like(kernel), kernel]), np.zeros((4, *kernel.shape), np.float32))
    np.testing.assert_array_equal(labels, expected)


def test_equals_reference_on_a_full_size_map():
    """Texts with one kernel, with several and with none, large enough that most of a row is inside one."""
    rng = np.random.default_rng(0)
    kernels = np.zeros((2, 160, 256), np.uint8)
    for _ in range(60):
        y, x, height, width = rng.integers([0, 0, 3, 3], [150, 240, 14, 90])
        kernels[0, y : y + height, x : x + width] = 1
        if rng.random() < 0.8:
            kernels[1, y + 1 : y + height - 1, x + 1 : x + width // 2] = 1
    assert assert_equals_reference(kernels, rng.normal(size=(4, 160, 256)).astype(np.float32), 3).max() > 20


def test_first_come_first_served():
    kernels = row_map("1111111", "1000001")
    # The middle pixel is as far from both; the left seed stands first in the queue.
    assert pa(kernels, np.zeros((4, 1, 7), np.float32)).tolist() == [[1, 1, 1, 1, 2, 2, 2]]


def test_small_seeds_leave_and_the_others_keep_their_numbers():
    kernels = row_map("1110111", "0100110")
    assert pa(kernels, np.zeros((4, 1, 7), np.float32), 2).tolist() == [[0, 0, 0, 0, 2, 2, 2]]


def test_kernel_pixels_outside_the_text_keep_their_label_and_grow_into_it():
    assert pa(row_map("00110", "01000"), np.zeros((4, 1, 5), np.float32)).tolist() == [[0, 1, 1, 1, 0]]


def test_a_kernel_between_two_texts_grows_into_both():
    kernels, emb = row_map("1100111", "0011000"), np.zeros((4, 1, 7), np.float32)
    assert assert_equals_reference(kernels, emb).tolist() == [[1, 1, 1, 1, 1, 1, 1]]
    kernels[1, 0, 6] = 1  # and meets the one of the other text there
    assert assert_equals_reference(kernels, emb).tolist() == [[1, 1, 1, 1, 1, 2, 2]]
    # Too small, it neither has nor joins the texts.
    assert assert_equals_reference(row_map("1101110", "1010011"), emb, 2).tolist() == [[0, 0, 0, 3, 3, 3, 3]]


def flagged_pair(area: int = 1089):
    """A kernel of `area` pixels in rows of 33 and one of a single pixel, both in one text of 40x40."""
    kernels = np.zeros((2, 40, 40), np.uint8)
    kernels[0] = 1
    kernels[1, np.arange(area) // 33, np.arange(area) % 33] = 1
    kernels[1, 39, 39] = 1
    return kernels, np.zeros((4, 40, 40), np.float32)


def test_flagged_seeds_only_take_pixels_within_3():
    kernels, emb = flagged_pair()
    emb[0, 36, :] = 3.0  # exactly 3 away from both means: taken
    emb[0, 37, :] = np.nextafter(np.float32(3), np.float32(4))  # beyond
    emb[0, 38, 5] = np.nan
    labels = assert_equals_reference(kernels, emb)
    assert (labels[36] > 0).all()
    assert not labels[37].any()
    assert labels[38, 5] == 0 and labels[38, 6] == 2


def test_a_rejected_pixel_can_join_another_seed():
    kernels, emb = flagged_pair()
    emb[1, 33:, :] = 5.0
    labels = assert_equals_reference(kernels, emb)
    assert (labels[33:] == 2).all() and (labels[:33] == 1).all()


@pytest.mark.parametrize(("area", "flagged"), [(1024, False), (1025, True)])
def test_the_area_ratio_must_exceed_1024(area, flagged):
    kernels, emb = flagged_pair(area)
    emb[0, 38, :] = 100.0
    assert (assert_equals_reference(kernels, emb)[38] == 0).all() == flagged


def test_seeds_of_different_texts_are_not_flagged():
    kernels, emb = flagged_pair()
    emb[0, 38, :] = 100.0
    kernels[0, 39, :] = 0
    kernels[0, 39, 39] = 1
    kernels[0, 38, 39] = 0
    assert (assert_equals_reference(kernels, emb)[38, :39] == 1).all()


def test_dropped_seeds_flag_nobody():
    kernels, emb = flagged_pair()
    emb[0, 38, :] = 100.0
    assert (assert_equals_reference(kernels, emb, 2)[38] == 1).all()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float32, np.float64, ">i4"])
def test_kernel_types_are_converted(dtype):
    rng = np.random.default_rng(1)
    kernels = (rng.random((2, 20, 30)) < 0.6).astype(np.uint8)
    emb = rng.normal(size=(4, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(pa(kernels.astype(dtype), emb), pa(kernels, emb))


def test_any_nonzero_value_is_set():
    kernels = row_map("1111", "0100")
    emb = np.zeros((4, 1, 4), np.float32)
    np.testing.assert_array_equal(pa(kernels * 200, emb), pa(kernels, emb))
    np.testing.assert_array_equal(pa(kernels * -0.25, emb), pa(kernels, emb))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, ">f4"])
def test_embedding_types_are_converted(dtype):
    kernels, emb = flagged_pair()
    emb[2, 35:] = 4.0
    np.testing.assert_array_equal(pa(kernels, emb.astype(dtype)), pa(kernels, emb))


def test_memory_order_does_not_matter():
    rng = np.random.default_rng(2)
    kernels, emb = flagged_pair()
    emb[:] = rng.normal(size=emb.shape) * 2
    expected = assert_equals_reference(kernels, emb)
    np.testing.assert_array_equal(pa(np.asfortranarray(kernels), np.asfortranarray(emb)), expected)
    spread = np.repeat(np.repeat(emb, 2, axis=1), 3, axis=2)
    np.testing.assert_array_equal(pa(kernels, spread[:, ::2, ::3]), expected)
    mirrored = np.ascontiguousarray(kernels[:, :, ::-1]), np.ascontiguousarray(emb[:, :, ::-1])
    np.testing.assert_array_equal(pa(mirrored[0][:, :, ::-1], mirrored[1][:, :, ::-1]), expected)
    kernels.flags.writeable = emb.flags.writeable = False
    np.testing.assert_array_equal(pa(kernels, emb), expected)
    np.testing.assert_array_equal(pa(kernels.tolist(), emb.tolist()), expected)


def test_a_huge_float64_embedding_is_not_near():
    kernels, emb = flagged_pair()
    emb = emb.astype(np.float64)
    emb[0, 38, 5] = 1e300
    assert pa(kernels, emb)[38, 5] == 0


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_maps_without_pixels(shape):
    assert pa(np.zeros((2, *shape), np.uint8), np.zeros((4, *shape), np.float32)).shape == shape


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 7)])
def test_uniform_maps(shape, value):
    labels = assert_equals_reference(np.full((2, *shape), value, np.uint8), np.zeros((4, *shape), np.float32))
    assert (labels == value).all()


@pytest.mark.parametrize(
    ("kernels", "emb", "error", "words"),
    [
        (np.zeros((3, 4, 4)), np.zeros((4, 4, 4)), ValueError, r"kernels must have shape \(2, h, w\)"),
        (np.zeros((2, 4)), np.zeros((4, 4, 4)), ValueError, "kernels must have shape"),
        (np.zeros((2, 4, 4)), np.zeros((4, 4, 5)), ValueError, r"emb must have shape \(4, 4, 4\)"),
        (np.zeros((2, 4, 4)), np.zeros((3, 4, 4)), ValueError, "emb must have shape"),
        (np.zeros((2, 4, 4), object), np.zeros((4, 4, 4)), TypeError, "kernels must hold numbers"),
        (np.zeros((2, 4, 4)), np.zeros((4, 4, 4), complex), TypeError, "emb must hold numbers"),
        (np.full((2, 4, 4), "1"), np.zeros((4, 4, 4)), TypeError, "kernels must hold numbers"),
    ],
)
def test_bad_input_is_refused(kernels, emb, error, words):
    with pytest.raises(error, match=words):
        pa(kernels, emb)


def test_bad_min_area_and_size_are_refused():
    kernels, emb = flagged_pair()
    with pytest.raises(ValueError, match="min_area"):
        pa(kernels, emb, np.nan)
    flat = np.broadcast_to(np.uint8(0), (2, 50000, 50000))
    with pytest.raises(ValueError, match="too large"):
        pa(flat, np.broadcast_to(np.float32(0), (4, 50000, 50000)))


def test_the_package_exports_the_function_not_the_module():
    import post_processing.pa

    assert callable(post_processing.pa) and post_processing.pa is pa
    post_processing.require_extension()


def test_without_the_extension_the_package_imports_and_says_how_to_build_it():
    code = (
        "import sys; sys.modules['post_processing.pa'] = None\n"
        "import post_processing\n"
        "for call in (post_processing.require_extension, lambda: post_processing.pa(None, None)):\n"
        "    try: call()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert lines[0].startswith(InputError.__name__)
    assert "post_processing.pa is missing: run  sh ./compile.sh" in lines[0]
