"""The readers and the writer of both kinds of Total-Text file, on contents of a few lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instances import polygons, transcriptions
from matlab_files import cells, mat_bytes, total_text_rows

from annotations import Instance, total_text
from errors import InputError

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


def test_an_escape_beyond_unicode_stays_as_written():
    line = r"x: [[0 50 50 0]], y: [[0 0 20 20]], ornt: [u'c'], transcriptions: [u'\U99999999 \U0001F600']"
    assert total_text.parse_text(line, "gt.txt")[0].transcription == "\\U99999999 \U0001f600"
