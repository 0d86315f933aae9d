"""The ground-truth readers, on contents of a few lines. CTW1500's are tested through its parser."""

from __future__ import annotations

import math
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matlab_files import cells, mat_bytes, total_text_rows

from annotations import Instance, ctw1500, icdar2015, msra_td500, total_text
from annotations.fields import is_number, numbered_lines, parse_numbers
from errors import InputError

QUAD = "377,117,463,117,465,130,378,130"
QUAD_POINTS = [(377, 117), (463, 117), (465, 130), (378, 130)]


def polygons(instances: list[Instance]) -> list[list[tuple[float, ...]]]:
    assert all(i.polygon.dtype == np.float64 and i.polygon.shape[1:] == (2,) for i in instances)
    return [list(map(tuple, i.polygon.tolist())) for i in instances]


def transcriptions(instances: list[Instance]) -> list[str]:
    return [i.transcription for i in instances]


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


# Total-Text, .mat

ROWS = [
    ([206, 251, 386, -3], [633, 811, 931, -946], "PETROSAINS", "c"),
    ([5], [6], "#", "#"),
    (list(range(19)), list(range(19, 38)), "Café, 'it''s'", " h"),
    ([1, 2, 3], [4, 5, 7], "", "C"),
    ([32767, 1, -32768], [4, 5, 7], "v", np.zeros((0, 0))),
]


def check_rows(instances: list[Instance], name: str = "polygt") -> None:
    assert polygons(instances) == [list(zip(x, y)) for x, y, _, _ in ROWS]
    assert transcriptions(instances) == ["PETROSAINS", "#", "Café, 'it''s'", "", "v"]
    assert [i.orientation for i in instances] == ["c", "#", "h", "C", ""]
    assert [i.where for i in instances] == [f"poly_gt_img1.mat, {name} row {n}" for n in range(1, 6)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["polygt", "gt"])
@pytest.mark.parametrize("column", [False, True])
def test_total_text_mat(compressed, name, column):
    data = mat_bytes(compressed, other=np.ones(3), **{name: total_text_rows(*ROWS, column=column)})
    check_rows(total_text.parse_mat(data, "poly_gt_img1.mat"), name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_total_text_mat_of_any_number_type(dtype):
    row = ["x:", np.array([[1, 2, 200]], dtype), "y:", np.array([[3, 4, 250]], dtype), "word", "m"]
    (instance,) = total_text.parse_mat(mat_bytes(polygt=cells([row])), "f")
    assert polygons([instance]) == [[(1, 3), (2, 4), (200, 250)]]


def test_total_text_mat_without_rows():
    assert total_text.parse_mat(mat_bytes(polygt=np.zeros((0, 6), object)), "f") == []
    assert total_text.parse_mat(mat_bytes(polygt=np.zeros((0, 0))), "f") == []


@pytest.mark.parametrize("compressed", [False, True])
def test_total_text_mat_cut_anywhere_is_a_mistake(compressed):
    data = mat_bytes(compressed, polygt=total_text_rows(ROWS[0]))
    for size in range(len(data)):
        with pytest.raises(InputError) as caught:
            total_text.parse_mat(data[:size], "a.mat")
        message = str(caught.value)
        assert message.startswith("a.mat: ") and message.endswith("from the data set") and "\n" not in message


def test_total_text_compressed_mat_with_a_damaged_byte_is_a_mistake():
    data = bytearray(mat_bytes(compressed=True, polygt=total_text_rows(ROWS[0])))
    for position in range(128 + 8, len(data), 3):  # behind the header of the file and the tag of the variable
        damaged = data.copy()
        damaged[position] ^= 1
        with pytest.raises(InputError):
            total_text.parse_mat(bytes(damaged), "a.mat")


def row(x=((1, 2, 3),), y=((4, 5, 6),)) -> np.ndarray:
    return cells([["x:", np.array([[0, 1, 1]]), "y:", np.array([[0, 0, 1]]), "a", "c"], ["x:", x, "y:", y, "b", "c"]])


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"other": np.ones(2)}, "f: has no variable polygt or gt"),
        ({"gt": row()[:, :5]}, "f: variable gt is 2 x 5 of type object, where N x 6 cells are expected"),
        ({"polygt": np.ones((2, 6))}, "f: variable polygt is 2 x 6 of type float64, where N x 6 cells"),
        ({"polygt": row(y=np.array([[4, 5]]))}, "f, polygt row 2: 3 x and 2 y, where a point has one of each"),
        ({"polygt": row(np.zeros((1, 0)), np.zeros((1, 0)))}, "f, polygt row 2: 0 x and 0 y"),
        ({"polygt": row(x="123")}, "f, polygt row 2, x: is no array of numbers"),
        ({"polygt": row(y=np.array([[4, np.nan, 6]]))}, "f, polygt row 2, y: value 2 is nan, not a number of pixels"),
        ({"polygt": row(x=np.array([[4, 5, 2e6]]))}, "f, polygt row 2, x: value 3 is 2000000.0, not a number"),
    ],
)
def test_total_text_mat_mistakes(variables, said):
    with pytest.raises(InputError) as caught:
        total_text.parse_mat(mat_bytes(**variables), "f")
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


# Total-Text, plain text


def test_total_text_lines():
    content = (
        "x: [[206 251 386 542 620\n  646 550]], y: [[633 811 931 946\n 926 976 -10]], ornt: [u'c'], "
        "transcriptions: [u'PETROSAINS']\n"
        "x: [[ 50  51  48]], y: [[977.5 1032.  5]], ornt: [u'#'], transcriptions: [u'#']\r\n"
        "\n"
        "x: [[1 2 3]], y: [[4 5 6]], ornt: [], transcriptions: [u'a], [b, \"c\"']\n"
        "x: [[1, 2, 3]], y: [[4, 5, 6]], ornt: ['m'], transcriptions: [u\"it's\"]\n"
        "x: [[1 2 3]], y: [[4 5 6]], ornt: [u'h'], transcriptions: [u'it's']\n"
        "x: [[1 2 3]], y: [[4 5 6]], ornt: [u'h'], transcriptions: [u'CAF\\xc9 \\u6771\\\\ it\\'s']\n"
        "x: [[1 2 3]], y: [[4 5 6]], ornt: [u'h'], transcriptions: [u'CAFÉ 東']\n"
        "x: [[1 2 3]], y: [[4 5 6]], ornt: [u''], transcriptions: []\n"
        "x: [[7]], y: [[8]], ornt: [u'c'], transcriptions: [u'one']"
    )
    instances = total_text.parse_text(content, "poly_gt_img1.txt")
    abc = [(1, 4), (2, 5), (3, 6)]
    assert polygons(instances) == [
        [(206, 633), (251, 811), (386, 931), (542, 946), (620, 926), (646, 976), (550, -10)],
        [(50, 977.5), (51, 1032), (48, 5)],
        *[abc] * 6,
        [(7, 8)],
    ]
    texts = ["PETROSAINS", "#", 'a], [b, "c"', "it's", "it's", "CAFÉ 東\\ it's", "CAFÉ 東", "", "one"]
    assert transcriptions(instances) == texts
    assert [i.orientation for i in instances] == ["c", "#", "", "m", "h", "h", "h", "", "c"]
    assert [i.where.rsplit(" ", 1)[1] for i in instances] == ["1", "4", "6", "7", "8", "9", "10", "11", "12"]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_total_text_without_text(content):
    assert total_text.parse_text(content, "f") == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("hello", "f, line 2: is not like x: [[..]], y:"),
        ("x: [[1 2 3]], y: [[1 2 3]], ornt: [u'c']", "f, line 2: is not like x: [[..]], y:"),
        ("x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']", "f, line 2: 3 x and 2 y"),
        ("x: [[]], y: [[]], ornt: [u'c'], transcriptions: [u'a']", "f, line 2: 0 x and 0 y"),
        ("x: [[1 2 3]], y: [[1 a 2]], ornt: [u'c'], transcriptions: [u'a']", "f, line 2, y: field 2 is 'a', not a"),
        ("x: [[1 2 1e7]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [u'a']", "f, line 2, x: field 3 is '1e7', not"),
    ],
)
def test_total_text_mistakes(entry, said):
    with pytest.raises(InputError) as caught:
        total_text.parse_text(f"\n{entry}\n", "f")
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


instances_of_any_text = st.builds(
    Instance,
    polygon=st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=20).map(np.array),
    where=st.just(""),
    transcription=st.text().map(str.strip),
    orientation=st.sampled_from(["c", "h", "m", "#", "C", ""]),
)


@given(st.lists(instances_of_any_text, max_size=4))
def test_total_text_is_read_back_as_written(instances):
    content = total_text.write_text(instances)
    read = total_text.parse_text(content, "f")
    assert content.count("\n") == len(instances) == len(read)
    for number, (was, now) in enumerate(zip(instances, read), 1):
        np.testing.assert_array_equal(now.polygon, was.polygon)
        assert now.transcription == was.transcription and now.orientation == was.orientation
        assert now.where == f"f, line {number}"


def test_total_text_is_written_as_published():
    instance = Instance(np.array([(206.0, 633), (251, 811.5), (-386, 931)]), "", "it's CAFÉ", "c")
    line = "x: [[206 251 -386]], y: [[633 811.5 931]], ornt: [u'c'], transcriptions: [u\"it's CAFÉ\"]\n"
    assert total_text.write_text([instance]) == line


def test_both_kinds_of_total_text_file_say_the_same():
    instances = total_text.parse_mat(mat_bytes(polygt=total_text_rows(*ROWS)), "poly_gt_img1.mat")
    again = total_text.parse_text(total_text.write_text(instances), "poly_gt_img1.txt")
    check_rows([i._replace(where=f"poly_gt_img1.mat, polygt row {n}") for n, i in enumerate(again, 1)])


# CTW1500, what its parser does not show


def test_ctw1500_keeps_what_encloses_nothing():
    line = "5,5,9,9," + ",".join(["0,0"] * 14)
    (instance,) = ctw1500.parse(f"\ufeff{line}\r\n", "0001.txt")
    assert polygons([instance]) == [[(5, 5)] * 14] and instance.where == "0001.txt, line 1"


def test_an_escape_beyond_unicode_stays_as_written():
    line = r"x: [[0 50 50 0]], y: [[0 0 20 20]], ornt: [u'c'], transcriptions: [u'\U99999999 \U0001F600']"
    assert total_text.parse_text(line, "gt.txt")[0].transcription == "\\U99999999 \U0001f600"
