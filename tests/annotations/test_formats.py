"""The ground-truth readers, on contents of a few lines; those of Total-Text have a file of their own."""

from __future__ import annotations

import math
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instances import polygons, transcriptions

from annotations import ctw1500, icdar2015, msra_td500
from annotations.fields import is_number, numbered_lines, parse_numbers
from errors import InputError

QUAD = "377,117,463,117,465,130,378,130"
QUAD_POINTS = [(377, 117), (463, 117), (465, 130), (378, 130)]


# Lines and fields


def test_lines_end_in_three_ways_and_no_other():
    text = "\ufeffa\r\n\r\nb\u2028b\x0bb\x85\rc\n \nd"
    assert numbered_lines(text, "f") == [
        ("f, line 1", "a"),
        ("f, line 3", "b\u2028b\x0bb\x85"),
        ("f, line 4", "c"),
        ("f, line 6", "d"),
    ]


def test_numbers():
    fields = [" 1", "-2.5 ", "+.5", "1e-05", "7.", "-0", "x"]
    assert parse_numbers(fields, 6, "six", "f").tolist() == [1, -2.5, 0.5, 1e-5, 7, 0]


@given(st.lists(st.text("0123456789+-.eE_ \tnaif１\u2003", max_size=6), min_size=1, max_size=4))
def test_a_field_is_a_number_whatever_stands_beside_it(fields):
    alone = [re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", field, re.ASCII) for field in fields]
    values = [float(field) if match else math.nan for field, match in zip(fields, alone)]
    assert [is_number(field) for field in fields] == [match is not None for match in alone]
    if all(abs(value) <= 1e6 for value in values):
        assert parse_numbers(fields, len(fields), "some", "f").tolist() == values
        return
    wrong = next(i for i, value in enumerate(values) if not abs(value) <= 1e6)
    with pytest.raises(InputError, match=rf"^f: field {wrong + 1} is "):
        parse_numbers(fields, len(fields), "some", "f")


@pytest.mark.parametrize("field", ["", " ", "nan", "inf", "1e400", "1000001", "0x10", "1_000", "１", "1 2", "--1"])
def test_what_is_no_number_of_pixels(field):
    with pytest.raises(InputError) as caught:
        parse_numbers(["1", field], 2, "x,y", "f, line 9")
    assert str(caught.value).startswith(f"f, line 9: field 2 is {field.strip()!r}, not a number of pixels (x,y); ")


# ICDAR 2015


def test_icdar2015_transcriptions():
    texts = ["Genaxis Theatre", "[06]", "###", "a,b,,c", '"quoted"', "Zürich 東京", "1,2,3", "", "  outer  "]
    content = "\ufeff" + "".join(f"{QUAD},{text}\r\n" for text in texts)
    instances = icdar2015.parse(content, "gt_img_1.txt")
    assert transcriptions(instances) == [*texts[:-1], "outer"]
    assert polygons(instances) == [QUAD_POINTS] * len(texts)
    assert instances[2].where == "gt_img_1.txt, line 3"


@pytest.mark.parametrize(
    ("content", "expected"),
    [("", []), ("\ufeff", []), (QUAD, [""]), (f"{QUAD},###\n{QUAD},###\n", ["###", "###"]), (f"\n{QUAD},a\n\n", ["a"])],
)
def test_icdar2015_files(content, expected):
    assert transcriptions(icdar2015.parse(content, "f")) == expected


def test_icdar2015_mistakes():
    with pytest.raises(InputError, match=r"f, line 2: 7 fields where 8 numbers are expected \(x1,y1,.*remove the line"):
        icdar2015.parse(f"{QUAD},a\n1,2,3,4,5,6,7", "f")
    with pytest.raises(InputError, match=r"f, line 1: field 8 is 'a', not a number of pixels"):
        icdar2015.parse("1,2,3,4,5,6,7,a,word", "f")


# MSRA-TD500


def test_msra_by_hand():
    # A box of 8 x 2 about (14, 21): upright, turned by a quarter, and by an angle of cosine 0.8 and sine 0.6.
    lines = ["0 0 10 20 8 2 0", f"1 1 10 20 8 2 {math.pi / 2:.17f}", f"2 0 10 20 8 2 {math.atan2(3, 4):.17f}"]
    first, second, third = msra_td500.parse("\n".join(lines), "IMG_1.gt")
    np.testing.assert_allclose(first.polygon, [(10, 20), (18, 20), (18, 22), (10, 22)], atol=1e-12)
    np.testing.assert_allclose(second.polygon, [(15, 17), (15, 25), (13, 25), (13, 17)], atol=1e-12)
    corners = [(14 - 3.2 + 0.6, 21 - 2.4 - 0.8), (14 + 3.2 + 0.6, 21 + 2.4 - 0.8)]
    corners += [(14 + 3.2 - 0.6, 21 + 2.4 + 0.8), (14 - 3.2 - 0.6, 21 - 2.4 + 0.8)]
    np.testing.assert_allclose(third.polygon, corners, atol=1e-12)
    assert [i.difficult for i in (first, second, third)] == [False, True, False]
    assert second.where == "IMG_1.gt, line 2"


@given(
    st.tuples(st.integers(-50, 3000), st.integers(-50, 3000), st.integers(1, 2000), st.integers(1, 2000)),
    st.floats(-0.75, 0.78),
)
def test_msra_is_the_box_of_opencv(box, theta):
    x, y, w, h = box
    (instance,) = msra_td500.parse(f"0 0 {x} {y} {w} {h} {theta}", "f")
    expected = cv2.boxPoints(((x + w / 2, y + h / 2), (w, h), math.degrees(theta)))  # float32, from the lower left
    np.testing.assert_allclose(instance.polygon, np.roll(expected, -1, axis=0), atol=5e-3)


def test_hust_transcription_may_hold_spaces():
    content = "0 0 77 80 30 8 -0.75 two  words, 3\r\n1 1 77 80 30 8 0.78 \r\n2 0 77 80 30 8 8.5e-05 0"
    assert transcriptions(msra_td500.parse(content, "f")) == ["two  words, 3", "", "0"]


@pytest.mark.parametrize("content", ["", "\n"])
def test_msra_image_without_text(content):
    assert msra_td500.parse(content, "f") == []


def test_msra_mistakes():
    with pytest.raises(InputError, match=r"f, line 2: 6 fields where 7 numbers are expected \(index difficult x y w h"):
        msra_td500.parse("0 0 1 2 3 4 0.5\n0 0 1 2 3 4", "f")
    with pytest.raises(InputError, match=r"f, line 1: field 7 is 'nan', not a number"):
        msra_td500.parse("0 0 1 2 3 4 nan", "f")


# CTW1500, what its parser does not show


def test_ctw1500_keeps_what_encloses_nothing():
    line = "5,5,9,9," + ",".join(["0,0"] * 14)
    (instance,) = ctw1500.parse(f"\ufeff{line}\r\n", "0001.txt")
    assert polygons([instance]) == [[(5, 5)] * 14] and instance.where == "0001.txt, line 1"
