"""Files that ask for hours or gigabytes: each is refused in one line, or read with a limit to the work."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest

from annotations import icdar2015, total_text
from annotations.coco_masks import to_rle
from errors import InputError
from eval import PROTOCOLS
from eval.geometry import MAX_CROSSINGS, Areas, make_shapes
from eval.scorer import Scorer

QUAD = "10,10,60,12,58,40,9,38"
MEGABYTE = 1 << 20


def read_zip(path):
    return PROTOCOLS["icdar2015"].results.read(path)


@pytest.fixture
def memory():
    """What Python and numpy take at most during the test; tells it in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_numbers_that_a_pattern_could_try_in_many_ways():
    for field in ("1" * 100_000 + "e" * 100_000, "1" * 200_000 + ".", " " * 200_000 + "x", "." * 200_000):
        with pytest.raises(InputError, match=r"f, line 1: field 1 is .*, not a number of pixels") as caught:
            icdar2015.parse(f"{field},0,1,0,1,1,0,1,x", "f")
        assert len(str(caught.value)) < 300


def test_more_lines_than_an_image_has():
    with pytest.raises(InputError, match=r"f: has 1,000,001 lines, more than the 10,000 of an image"):
        PROTOCOLS["icdar2015"].results.parse(f"{QUAD}\n" * 1_000_000, "f")
    with pytest.raises(InputError, match="f: has 500,002 lines"):
        total_text.parse_text("x: [[1\n" + "2\n" * 500_000, "f")
    assert len(PROTOCOLS["icdar2015"].results.parse(f"{QUAD}\n" * 10_000, "f")) == 10_000


def test_more_corners_than_a_polygon_has():
    with pytest.raises(InputError, match=r"f, line 1: has .* numbers, more than 5,000 corners"):
        PROTOCOLS["ctw1500"].results.parse(",".join(["1"] * 1_000_000), "f")


def test_an_entry_of_many_lines_is_put_together_once():
    text = "x: [[" + "1\n" * 9_000 + "]]"
    with pytest.raises(InputError, match="is not like x"):
        total_text.parse_text(text, "f")


def test_an_entry_that_could_be_divided_in_many_ways():
    begun = "x: [[1 9 9]], y: [[1 1 9]], ornt: [u'c'], transcriptions: [u'a'"
    with pytest.raises(InputError, match="is not like x"):
        total_text.parse_text(begun + "\n, ornt: [u'c'], transcriptions: [u'a'" * 9_000, "f")
    [instance] = total_text.parse_text(f"{begun}], transcriptions: [b]", "f")
    assert instance.transcription == "u'a'], transcriptions: [b"


def test_a_zip_bomb(tmp_path, memory):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("res_1.txt", "w") as file:
        for _ in range(64):
            file.write(b"0" * MEGABYTE)
    with pytest.raises(InputError, match=r"a\.zip/res_1\.txt: unpacks to more than 4,194,304 bytes"):
        read_zip(path)
    assert memory() < 40 * MEGABYTE


def test_a_zip_of_many_large_files(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(30):
            archive.writestr(f"res_{i}.txt", b"\n" * 4_000_000)
    with pytest.raises(InputError, match=r"a\.zip: unpacks to 20 times its size and more"):
        read_zip(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_take_memory_of_their_own(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("res_1.txt", QUAD)
    with pytest.raises(InputError, match=r"res_1\.txt: is packed by method \d+: pack it anew"):
        read_zip(tmp_path / "a.zip")


def test_a_zip_of_a_million_names(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("res_1.txt", QUAD)
    raw = bytearray(path.read_bytes())
    raw[-10:-6] = (17 << 20).to_bytes(4, "little")  # size of the list of names
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.zip: lists its files in more than 16,777,216 bytes"):
        read_zip(path)


@pytest.mark.parametrize("corners", [600, 5000])
def test_a_contour_that_crosses_itself_everywhere(memory, caplog, corners):
    ring = np.random.default_rng(0).integers(0, 1000, (corners, 2)).astype(float)
    [tangle, square] = make_shapes([ring, np.array([(0, 0), (9, 0), (9, 9), (0, 9)])])
    assert tangle.is_empty and square.area == 81
    assert (
        f"1 contours of an image count as enclosing nothing: contours cross themselves more than {MAX_CROSSINGS}"
        in caplog.text
    )
    assert memory() < 100 * MEGABYTE


def test_the_limit_to_crossings_is_that_of_an_image(caplog):
    star = [(np.cos(2.4 * i) * 100, np.sin(2.4 * i) * 100) for i in range(100)]
    shapes = make_shapes([np.array(star)] * 8)
    assert shapes[0].area > 0 and shapes[-1].is_empty and "count as enclosing nothing" in caplog.text
    caplog.clear()
    assert not any(shape.is_empty for shape in make_shapes([np.array(star[:40])] * 8)) and not caplog.text


class _Anything(Scorer):
    variants = ("official",)
    match = None


@pytest.mark.parametrize(("truths", "results"), [(2_000, 6_000), (1_000, 1_000)])
def test_more_pairs_than_can_be_measured(truths, results):
    squares = [np.array([(0, 0), (9, 0), (9, 9), (0, 9)])] * max(truths, results)
    with pytest.raises(InputError, match=r"results of image 'img_1': .* too many to .*; keep the best"):
        _Anything().update("img_1", squares[:truths], squares[:results])


def test_many_results_that_lie_apart_are_measured():
    squares = [np.array([(0, 0), (9, 0), (9, 9), (0, 9)]) + np.array([20 * i, 0]) for i in range(10_000)]
    assert Areas.of(squares[:100], squares).shared.sum() == 100 * 81


@pytest.mark.parametrize("text", ["o" * 1_000_000, "P" * 1_000_000, "0" * 1_000_000, "1" * 1_000_000])
def test_run_lengths_of_a_megabyte(text):
    with pytest.raises(InputError, match=r"here: segmentation\.counts counts .* where the image has 1000x1000"):
        to_rle({"size": [1000, 1000], "counts": text}, (1000, 1000), "here")


def test_outlines_far_beyond_their_image():
    ring = [0.0, 0.0, 1e6, 1e6] * 100
    with pytest.raises(InputError, match="here: outlines of more than 2,000,000 pixels"):
        to_rle([ring], (40, 60), "here")
