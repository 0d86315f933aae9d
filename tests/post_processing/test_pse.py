"""Progressive scale expansion: the compiled function equals its plain-Python reference, label for label."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from post_processing import pa, pse
from reference.post_processing import pse_reference

DENSITIES = st.sampled_from([0.0, 0.05, 0.3, 0.55, 0.7, 0.95, 1.0])
SEEDS = st.integers(0, 2**32 - 1)


def assert_equals_reference(kernels, min_area=0):
    labels = pse(kernels, min_area)
    assert labels.dtype == np.int32 and labels.shape == np.shape(kernels)[1:]
    np.testing.assert_array_equal(labels, pse_reference(np.asarray(kernels), min_area))
    return labels


@st.composite
def noise(draw):
    """Independent random maps of any density, or each confined to the one before."""
    shape = draw(st.integers(2, 7)), draw(st.integers(1, 30)), draw(st.integers(1, 30))
    densities = np.array(draw(st.lists(DENSITIES, min_size=shape[0], max_size=shape[0])))
    random = np.random.default_rng(draw(SEEDS)).random(shape)
    kernels = (random < densities[:, None, None]).astype(np.uint8)
    return np.bitwise_and.accumulate(kernels) if draw(st.booleans()) else kernels


def shrunken_instances(rng, count, size, n):
    """(n, h, w) uint8: curved strips that may touch and overlap, each shrunken on its own from map to map."""
    kernels = np.zeros((n, *size), np.uint8)
    for _ in range(count):
        y, x, bend = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(-8, 8)
        length, thickness = rng.uniform(4, 40), int(rng.integers(3, 14))
        along = np.linspace(-1, 1, 9)
        line = np.stack([x + along * length / 2, y + bend * along**2], axis=1).round().astype(np.int32)
        instance = cv2.polylines(np.zeros(size, np.uint8), [line], False, 1, thickness)
        for level, kernel in enumerate(kernels):
            steps = round(level / (n - 1) * thickness / 3)
            kernel |= cv2.erode(instance, np.ones((3, 3), np.uint8), iterations=steps)
    return kernels


@settings(max_examples=400, deadline=None)
@given(noise(), st.sampled_from([0, 1, 2, 3, 7.5, 20, -1, np.inf]))
def test_equals_reference_on_noise(kernels, min_area):
    assert_equals_reference(kernels, min_area)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(2, 7), st.sampled_from([0, 0, 5, 40]), st.floats(0, 0.1))
def test_equals_reference_on_instances(seed, count, n, min_area, flipped):
    rng = np.random.default_rng(seed)
    kernels = shrunken_instances(rng, count, tuple(rng.integers(8, 60, size=2)), n)
    kernels ^= rng.random(kernels.shape) < flipped
    assert_equals_reference(kernels, min_area)


def test_equals_reference_on_a_full_size_map():
    kernels = shrunken_instances(np.random.default_rng(0), 70, (160, 256), 7)
    assert assert_equals_reference(kernels).max() > 30
    assert_equals_reference((np.random.default_rng(1).random((7, 160, 256)) < 0.6).astype(np.uint8), 3)


@settings(max_examples=100, deadline=None)
@given(SEEDS, DENSITIES, DENSITIES)
def test_with_one_kernel_it_is_pixel_aggregation_without_embeddings(seed, text, kernel):
    random = np.random.default_rng(seed).random((2, 30, 30))  # too few pixels for an area ratio above 1024
    kernels = (random < np.array([text, kernel])[:, None, None]).astype(np.uint8)
    kernels[1] &= kernels[0]
    np.testing.assert_array_equal(pse(kernels), pa(kernels, np.zeros((4, 30, 30), np.float32)))


def test_seeds_are_numbered_as_cv2_numbers_components():
    kernel = (np.random.default_rng(0).random((733, 1211)) < 0.55).astype(np.uint8)
    _, expected = cv2.connectedComponents(kernel, connectivity=4)
    np.testing.assert_array_equal(pse(np.stack([np.zeros_like(kernel), kernel])), expected)


def nested(n: int, *rows: str) -> np.ndarray:
    """Maps that contain one another, drawn as the number of maps that hold each pixel; `.` is none."""
    depth = np.array([[int(c) for c in row.replace(".", "0")] for row in rows])
    return (depth > np.arange(n)[:, None, None]).astype(np.uint8)


def test_first_come_first_served():
    # The middle pixel is as far from both seeds; the left one stands first in the queue.
    assert assert_equals_reference(nested(2, "2111112")).tolist() == [[1, 1, 1, 1, 2, 2, 2]]
    # Down comes after up: the seed above takes the pixel between them.
    assert assert_equals_reference(nested(2, "2", "1", "2")).ravel().tolist() == [1, 1, 2]


def test_a_larger_kernel_reaches_further_before_the_text_is_shared_out():
    # First to the right as far as its kernel goes, four pixels; then both seeds take one pixel of the text.
    assert assert_equals_reference(nested(3, "3222113")).tolist() == [[1, 1, 1, 1, 1, 2, 2]]


def test_a_pixel_that_passed_its_label_on_is_not_looked_at_again():
    # The seed labels the pixel to its right, within the kernel. It is no edge pixel any more, so the text
    # below it, its neighbour, is reached from nowhere.
    assert assert_equals_reference(nested(3, "32", "1.")).tolist() == [[1, 1], [0, 0]]
    # An edge pixel of the kernel goes on; around the corner, it reaches that text after all.
    assert assert_equals_reference(nested(3, "32", "11")).tolist() == [[1, 1], [1, 1]]
    # Without a kernel to grow through, the seed itself is still at the edge.
    assert assert_equals_reference(nested(3, "31", "1.")).tolist() == [[1, 1], [1, 0]]


def test_edge_pixels_go_on_in_the_order_in_which_they_were_taken():
    # Queue of the kernel: seed 1, seed 2, the pixel right of seed 1. The last two are edge pixels, and in
    # this order they meet the text between them: seed 2 wins, although it comes later in row-major order.
    assert assert_equals_reference(nested(3, "32", ".1", ".3")).tolist() == [[1, 1], [0, 2], [0, 2]]


def test_edge_pixels_outlast_scales_in_which_nothing_grows():
    assert assert_equals_reference(nested(7, "7111.17")).tolist() == [[1, 1, 1, 1, 0, 2, 2]]


def test_small_seeds_leave_and_the_others_keep_their_numbers():
    kernels = nested(3, "1312331")
    assert assert_equals_reference(kernels, 2).tolist() == [[2, 2, 2, 2, 2, 2, 2]]
    assert assert_equals_reference(kernels, 1).tolist() == [[1, 1, 1, 2, 2, 2, 2]]
    assert not assert_equals_reference(kernels, 3).any()


def test_labels_outside_the_text_stay():
    text, kernel, seed = [0, 0, 1, 1, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0]
    assert assert_equals_reference(np.array([[text], [kernel], [seed]], np.uint8)).tolist() == [[1, 1, 1, 1, 0]]
    empty = [0] * 5
    assert assert_equals_reference(np.array([[empty], [kernel], [seed]], np.uint8)).tolist() == [[1, 1, 0, 0, 0]]
    assert assert_equals_reference(np.array([[empty], [empty], [seed]], np.uint8)).tolist() == [[1, 0, 0, 0, 0]]


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 1, 9), (7, 9, 1), (4, 13, 7), (40, 3, 3)])
def test_uniform_maps(shape, value):
    assert (assert_equals_reference(np.full(shape, value, np.uint8)) == value).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_maps_without_pixels(shape):
    assert pse(np.zeros((7, *shape), np.uint8)).shape == shape


def test_labels_do_not_leave_the_map_at_its_sides():
    # The end of a row and the start of the next lie side by side in memory.
    assert assert_equals_reference(nested(3, "..3", "2..", "111")).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert assert_equals_reference(nested(3, "112", "3..", "..2")).tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]


@pytest.fixture
def example():
    return shrunken_instances(np.random.default_rng(3), 6, (30, 40), 4)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float16, np.float64, ">i4"])
def test_types_are_converted(example, dtype):
    np.testing.assert_array_equal(pse(example.astype(dtype)), pse(example))


def test_any_nonzero_value_is_set(example):
    for factor in (np.uint8(200), np.int16(256), -0.25, np.nan):
        with np.errstate(invalid="ignore"):
            scaled = np.where(example, factor, np.zeros_like(factor))
        np.testing.assert_array_equal(pse(scaled), pse(example))


def test_memory_order_does_not_matter(example):
    expected = assert_equals_reference(example)
    np.testing.assert_array_equal(pse(np.asfortranarray(example)), expected)
    spread = np.repeat(np.repeat(example, 2, axis=1), 3, axis=2)
    np.testing.assert_array_equal(pse(spread[:, ::2, ::3]), expected)
    mirrored = np.ascontiguousarray(example[:, :, ::-1])
    np.testing.assert_array_equal(pse(mirrored[:, :, ::-1]), expected)
    np.testing.assert_array_equal(pse(example.tolist()), expected)
    kept = example.copy()
    example.flags.writeable = False
    np.testing.assert_array_equal(pse(example), expected)
    np.testing.assert_array_equal(example, kept)


@pytest.mark.parametrize(
    ("kernels", "error", "words"),
    [
        (np.zeros((1, 4, 4)), ValueError, r"pse: kernels must have shape \(n, h, w\) with n of at least 2"),
        (np.zeros((0, 4, 4)), ValueError, "at least 2"),
        (np.zeros((4, 4)), ValueError, "kernels must have shape"),
        (np.zeros((2, 2, 4, 4)), ValueError, "kernels must have shape"),
        (None, ValueError, "kernels must have shape"),
        (np.zeros((2, 4, 4), object), TypeError, "pse: kernels must hold numbers"),
        (np.zeros((2, 4, 4), complex), TypeError, "kernels must hold numbers"),
        (np.full((2, 4, 4), "1"), TypeError, "kernels must hold numbers"),
        (np.broadcast_to(np.uint8(0), (2, 50000, 50000)), ValueError, "pse: a map of 50000x50000 pixels is too large"),
    ],
)
def test_bad_kernels_are_refused(kernels, error, words):
    with pytest.raises(error, match=words):
        pse(kernels)


def test_a_bad_min_area_is_refused(example):
    with pytest.raises(ValueError, match="pse: min_area must be a number"):
        pse(example, np.nan)


def test_the_package_exports_the_function_not_the_module():
    import post_processing.pse

    assert callable(post_processing.pse) and post_processing.pse is pse


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("sys.modules['post_processing.pse'] = None", "is missing"),
        (
            "class Finder:\n"
            "    def find_spec(name, *rest):\n"
            "        if name == 'post_processing.pse': raise ImportError('wrong ELF class')\n"
            "sys.meta_path.insert(0, Finder)",
            "cannot be loaded (wrong ELF class)",
        ),
    ],
)
def test_without_its_extension_the_message_says_how_to_build_it(fault, problem):
    code = (
        f"import sys\n{fault}\n"
        "import numpy as np, post_processing\n"
        "for call in (post_processing.require_extension, lambda: post_processing.pse(None, min_area=3)):\n"
        "    try: call()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "print(post_processing.pa(np.ones((2, 1, 1)), np.ones((4, 1, 1))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    message = f"InputError the compiled extension post_processing.pse {problem}: run  sh ./compile.sh"
    assert done.stdout.splitlines() == [message, message, "[[1]]"]
