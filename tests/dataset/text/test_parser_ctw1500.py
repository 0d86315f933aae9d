"""The CTW1500 parser, on annotations of a few lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset.registry import PARSERS
from dataset.text.parsers.ctw1500 import CTW1500
from dataset.text.records import TextRecord
from errors import InputError

# 7 points along the top from left to right, 7 along the bottom back; offsets from (100, 50)
OFFSETS = [*((10 * i, 0) for i in range(7)), *((60 - 10 * i, 20) for i in range(7))]
ABSOLUTE = [(100 + x, 50 + y) for x, y in OFFSETS]
RELATIVE_LINE = "100,50,160,70," + ",".join(f"{x},{y}" for x, y in OFFSETS)
ABSOLUTE_LINE = ",".join(f"{x},{y}" for x, y in ABSOLUTE)

LABEL = "train/text_label_curve/0001.txt"


def layout(root: Path, images: list[str], labels: list[str], split: str = "train") -> Path:
    for folder, names in (("text_image", images), ("text_label_curve", labels)):
        (root / split / folder).mkdir(parents=True)
        for name in names:
            (root / split / folder / name).write_text(RELATIVE_LINE if folder.startswith("text_label") else "")
    return root


def parse(tmp_path: Path, text: str | bytes) -> CTW1500:
    """A parser of one image whose label file holds `text`."""
    layout(tmp_path, ["0001.jpg"], ["0001.txt"])
    (tmp_path / LABEL).write_bytes(text if isinstance(text, bytes) else text.encode())
    return CTW1500(tmp_path, "train")


def read(tmp_path: Path, text: str | bytes) -> TextRecord:
    return parse(tmp_path, text)[0]


@pytest.mark.parametrize(
    "line",
    [
        RELATIVE_LINE,
        RELATIVE_LINE + ",",
        RELATIVE_LINE + ",some,further 1,fields",
        RELATIVE_LINE + ",7,8",
        RELATIVE_LINE.replace(",", " , "),
        RELATIVE_LINE.replace("100,", "100.0,", 1),
    ],
)
def test_relative_line(tmp_path, line):
    record = read(tmp_path, line)
    assert len(record.polygons) == 1
    assert record.polygons[0].dtype == np.float32
    np.testing.assert_array_equal(record.polygons[0], ABSOLUTE)
    assert record.transcriptions == [""] and not record.ignore.any() and record.name == "0001"


def test_absolute_lines_with_transcriptions(tmp_path):
    lines = [
        f"{ABSOLUTE_LINE},{text}" for text in ("####GRAND, 'CAFÉ'", "####1999", "1999", "1,2,3,4", "###", "#######")
    ]
    record = read(tmp_path, "\n".join(lines))
    for polygon in record.polygons:
        np.testing.assert_array_equal(polygon, ABSOLUTE)
    assert record.transcriptions == ["GRAND, 'CAFÉ'", "1999", "1999", "1,2,3,4", "###", "###"]
    assert record.ignore.tolist() == [False] * 4 + [True, True]


def test_mark_line_ends_and_empty_lines(tmp_path):
    record = read(tmp_path, b"\xef\xbb\xbf" + f"{RELATIVE_LINE}\r\n\r\n{RELATIVE_LINE}\r\n".encode())
    np.testing.assert_array_equal(record.polygons, [ABSOLUTE, ABSOLUTE])


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "\ufeff"])
def test_image_without_text(tmp_path, text):
    record = read(tmp_path, text)
    assert record.polygons == [] and record.ignore.shape == (0,) and record.ignore.dtype == bool


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,3", "3 fields where 32 numbers"),
        (RELATIVE_LINE.rsplit(",", 1)[0], "31 fields where 32 numbers"),
        (ABSOLUTE_LINE, "28 fields where 32 numbers"),
        (ABSOLUTE_LINE + ",", "29 fields where 32 numbers"),
        (RELATIVE_LINE.replace("160", "x"), "field 3 is 'x', not a number"),
        (RELATIVE_LINE.replace("160", ""), "field 3 is '', not a number"),
        (RELATIVE_LINE.replace("160", "nan"), "field 3 is 'nan', not a number"),
        (RELATIVE_LINE.replace("160", "1e400"), "field 3 is '1e400', not a number"),
        (RELATIVE_LINE.replace("160", "9" * 12), "not a number of pixels"),
    ],
)
def test_bad_line_is_named(tmp_path, line, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"{RELATIVE_LINE}\n\n{line}\n")
    message = str(caught.value)
    assert said in message and f"{tmp_path / LABEL}, line 3" in message and "\n" not in message
    assert "correct or remove the line" in message


def test_bad_line_in_absolute_file(tmp_path):
    with pytest.raises(InputError, match=r"line 2: 27 fields where 28 numbers are expected \(14 x,y pairs and"):
        read(tmp_path, f"{ABSOLUTE_LINE},word\n{ABSOLUTE_LINE.rsplit(',', 1)[0]}")


def test_not_utf8(tmp_path):
    with pytest.raises(InputError, match="byte 0 is not UTF-8"):
        read(tmp_path, RELATIVE_LINE.encode("utf-16"))


def test_degenerate_polygons_are_left_out_and_counted(tmp_path):
    two_points = "5,5,9,9," + ",".join(["0,0"] * 7 + ["4,4"] * 7)
    on_a_line = "5,5,9,9," + ",".join(f"{i},{2 * i}" for i in range(14))
    bow_tie = "5,5,9,9," + ",".join(["0,0"] * 5 + ["9,9"] * 3 + ["9,0"] * 3 + ["0,9"] * 3)  # signed area 0
    parser = parse(tmp_path, "\n".join([RELATIVE_LINE, two_points, on_a_line, two_points, bow_tie]))
    record = parser[0]
    assert len(record.polygons) == len(record.transcriptions) == len(record.ignore) == 2
    first, second, third = parser.issues.summary()
    where = f"{tmp_path / LABEL}, line 2"
    assert first == f"CTW1500 train: 2 polygons with < 3 distinct points ignored, first in {where}"
    assert "1 polygons with all points on one line" in second and "line 3" in second
    assert "1 polygons whose edges cross" in third and "line 5" in third


def test_split_is_listed_by_name_whatever_the_suffix(tmp_path):
    images = ["0002.JPG", "0001.png", "0003.jpeg", "naïve 4.Png", "._0001.png", "notes.txt"]
    layout(tmp_path, images, ["0001.txt", "0002.txt", "0003.txt", "naïve 4.txt"])
    names = [(image.name, annotation.name) for image, annotation in CTW1500(tmp_path, "train").list_split()]
    stems = ["0001.png", "0002.JPG", "0003.jpeg", "naïve 4.Png"]
    assert names == [(name, Path(name).stem + ".txt") for name in stems]


def test_parser_is_registered_and_logs_one_line(tmp_path, caplog):
    layout(tmp_path, ["1.jpg", "2.jpg"], ["1.txt", "2.txt"], "test")
    (tmp_path / "test/text_label_curve/2.txt").write_text("5,5,9,9," + ",".join(["0,0"] * 14))
    parser = PARSERS.get("CTW1500")(tmp_path, "test")
    assert isinstance(parser, CTW1500) and len(parser) == 2
    np.testing.assert_array_equal(parser[0].polygons, [ABSOLUTE])
    assert parser[1].polygons == []
    assert len(caplog.records) == 1 and "CTW1500 test: 1 polygons" in caplog.text


def test_missing_label_file(tmp_path):
    layout(tmp_path, ["1.jpg", "2.jpg"], ["1.txt"])
    with pytest.raises(InputError, match=r"2\.jpg: has no annotation file .*2\.txt"):
        CTW1500(tmp_path, "train")


def test_same_name_twice(tmp_path):
    layout(tmp_path, ["1.jpg", "1.png"], ["1.txt"])
    with pytest.raises(InputError, match=r"same name as 1\.jpg"):
        CTW1500(tmp_path, "train")


@pytest.mark.parametrize("made", ["nothing", "root", "images"])
def test_missing_or_empty_root_says_where_and_how(tmp_path, made):
    root = tmp_path / "ctw"
    if made == "root":
        root.mkdir()
    elif made == "images":
        layout(root, [], [])
    with pytest.raises(InputError) as caught:
        CTW1500(root, "train")
    message = str(caught.value)
    assert str(root) in message and "--cfg-options data.root=PATH" in message and "\n" not in message


def test_unknown_split(tmp_path):
    with pytest.raises(InputError, match="no split 'val'; set split to one of: train, test"):
        CTW1500(tmp_path, "val")
