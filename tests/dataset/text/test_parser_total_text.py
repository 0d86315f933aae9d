"""The Total-Text parser, on annotations of a few rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matlab_files import mat_bytes, total_text_rows

from dataset.registry import PARSERS
from dataset.text.parsers.total_text import TotalText
from errors import InputError

CURVED = ([10, 20, 30, 30, 20, 10], [8, 5, 8, 18, 15, 18])
CURVED_POINTS = list(zip(*CURVED))
CURVED_LINE = "x: [[10 20 30 30 20 10]], y: [[8 5 8 18 15 18]], ornt: [u'c'], transcriptions: [u'{}']\n"


def write(root: Path, image: str, annotation: str, content: bytes | str, folder: str = "Train") -> Path:
    for path, data in (
        (root / "Images" / folder / image, b""),
        (root / "Groundtruth/Polygon" / folder / annotation, content),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


@pytest.mark.parametrize("name", ["polygt", "gt"])
def test_mat(tmp_path, name):
    rows = total_text_rows(
        (*CURVED, "word", "c"),
        (*CURVED, "#", "#"),
        (*CURVED, "#", "h"),  # the two fields differ in old releases; training goes by the transcription
        (*CURVED, "legible", "#"),
        ([-5, 40, 40], [-3, 0, 9], "", " h"),
        column=name == "gt",
    )
    write(tmp_path, "img1.jpg", "poly_gt_img1.mat", mat_bytes(**{name: rows}))
    parser = PARSERS.get("TotalText")(tmp_path, "train")
    assert isinstance(parser, TotalText) and len(parser) == 1 and parser.issues.summary() == []
    record = parser[0]
    assert record.image_path == tmp_path / "Images/Train/img1.jpg" and record.name == "img1"
    assert [p.dtype for p in record.polygons] == [np.float32] * 5
    for polygon in record.polygons[:4]:
        np.testing.assert_array_equal(polygon, CURVED_POINTS)
    np.testing.assert_array_equal(record.polygons[4], [(-5, -3), (40, 0), (40, 9)])
    assert record.transcriptions == ["word", "#", "#", "legible", ""]
    assert record.ignore.tolist() == [False, True, True, False, False]


def test_plain_text(tmp_path):
    text = CURVED_LINE.format("word") + CURVED_LINE.format("#") + CURVED_LINE.format("###")
    write(tmp_path, "img1.jpg", "poly_gt_img1.txt", text, "Test")
    parser = TotalText(tmp_path, "test")
    np.testing.assert_array_equal(parser[0].polygons, [CURVED_POINTS] * 3)
    assert parser[0].ignore.tolist() == [False, True, False]
    assert parser.ground_truth == tmp_path / "Groundtruth/Polygon/Test"


def test_either_layout_but_not_both(tmp_path):
    write(tmp_path, "img1.JPG", "poly_gt_img1.mat", mat_bytes(polygt=total_text_rows((*CURVED, "old", "c"))))
    write(tmp_path, "img2.png", "poly_gt_img2.txt", CURVED_LINE.format("new"))
    parser = TotalText(tmp_path, "train")
    assert [(r.name, r.transcriptions) for r in parser.records] == [("img1", ["old"]), ("img2", ["new"])]
    write(tmp_path, "img1.JPG", "poly_gt_img1.txt", CURVED_LINE.format("new"))
    with pytest.raises(InputError, match=r"poly_gt_img1\.mat: stands beside poly_gt_img1\.txt"):
        TotalText(tmp_path, "train")


def test_instances_of_few_vertices_are_left_out_and_counted(tmp_path):
    rows = [([x] * n, [y] * n, "few", "c") for n, x, y in ((1, 3, 4), (2, 3, 4), (19, 3, 4))]
    rows += [
        ([1, 9], [1, 1], "two", "c"),
        ([1, 9, 1], [1, 1, 1], "two again", "c"),
        ([1, 2, 3], [2, 4, 6], "line", "m"),
    ]
    write(tmp_path, "img1.jpg", "poly_gt_img1.mat", mat_bytes(polygt=total_text_rows(*rows, (*CURVED, "word", "c"))))
    parser = TotalText(tmp_path, "train")
    assert parser[0].transcriptions == ["word"] and parser[0].ignore.tolist() == [False]
    first, second = parser.issues.summary()
    path = tmp_path / "Groundtruth/Polygon/Train/poly_gt_img1.mat"
    few = "TotalText train: 5 polygons with < 3 distinct points ignored, first in"
    assert first == f"{few} {path}, polygt row 1"
    assert "1 polygons with all points on one line" in second and second.endswith("polygt row 6")


def test_image_without_text(tmp_path):
    write(tmp_path, "img1.jpg", "poly_gt_img1.txt", "")
    record = TotalText(tmp_path, "train")[0]
    assert record.polygons == [] and record.ignore.shape == (0,) and record.ignore.dtype == bool


def test_missing_annotation(tmp_path):
    write(tmp_path, "img1.jpg", "poly_gt_img2.txt", "")
    with pytest.raises(
        InputError, match=r"img1\.jpg: has no annotation file .*gt_img1\.mat or poly_gt_img1\.txt or gt_img1\.mat"
    ):
        TotalText(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("poly_gt_img1.mat", b"no MATLAB file", "cannot be read as a MATLAB file"),
        ("poly_gt_img1.mat", mat_bytes(other=np.ones(3)), "has no variable polygt or gt"),
        ("poly_gt_img1.txt", CURVED_LINE.format("a") + "x: 1", "line 2: is not like x: [[..]]"),
        ("poly_gt_img1.txt", CURVED_LINE.replace("15", "?"), "line 1, y: field 5 is '?', not a number"),
        ("poly_gt_img1.txt", b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_mistakes_name_the_file(tmp_path, name, content, said):
    write(tmp_path, "img1.jpg", name, content)
    with pytest.raises(InputError) as caught:
        TotalText(tmp_path, "train")
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "Groundtruth/Polygon/Train" / name)) and said in message
    assert "\n" not in message


def test_missing_root_and_unknown_split(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*; put the data there, or .*data\.root=PATH"):
        TotalText(tmp_path / "none", "train")
    with pytest.raises(InputError, match="TotalText has no split 'Train'; set split to one of: train, test"):
        TotalText(tmp_path, "Train")
