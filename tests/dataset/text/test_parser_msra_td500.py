"""The MSRA-TD500 parser, on annotations of a few lines."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from dataset.registry import PARSERS
from dataset.text.parsers.msra_td500 import MSRATD500
from errors import InputError

LINES = "1 0 10 20 8 2 0\n0 1 10 20 8 2 -0.75\n"


def layout(folder: Path, **labels: str) -> Path:
    """A folder with `NAME.JPG` and `NAME.gt` for each of the labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        (folder / f"{stem}.JPG").touch()
        (folder / f"{stem}.gt").write_text(text)
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    for split, stem in (("train", "IMG_0030"), ("test", "IMG_0059")):
        layout(tmp_path / "MSRA-TD500" / split, **{stem: LINES, "IMG_9999": ""})
    return tmp_path / "MSRA-TD500"


def with_hust(root: Path, name: str = "HUST-TR400") -> Path:
    folder = layout(root.parent / name, Img_1="0 0 77 80 30 8 0.1 two words\n1 1 77 80 30 8 0.1 NO ENTRY\n")
    (folder / "Img_1.JPG").rename(folder / "Img_1.jpg")
    return folder


def test_records(root):
    parser = PARSERS.get("MSRATD500")(root, "test")
    assert isinstance(parser, MSRATD500) and len(parser) == 2
    record, without_text = parser.records
    assert record.image_path == root / "test/IMG_0059.JPG" and record.name == "IMG_0059"
    assert [p.dtype for p in record.polygons] == [np.float32] * 2
    np.testing.assert_array_equal(record.polygons[0], [(10, 20), (18, 20), (18, 22), (10, 22)])
    half = np.array([(-4, -1), (4, -1), (4, 1), (-4, 1)]) @ [1, 1j] * np.exp(-0.75j)  # turned as complex numbers
    np.testing.assert_allclose(record.polygons[1], np.stack([14 + half.real, 21 + half.imag], axis=1), rtol=1e-6)
    assert record.ignore.tolist() == [False, True] and record.transcriptions == ["", ""]
    assert without_text.polygons == [] and without_text.ignore.dtype == bool
    assert parser.ground_truth == root / "test"


def test_difficult_as_text(root):
    assert MSRATD500(root, "train", difficult_as_text=True)[0].ignore.tolist() == [False, False]


def test_training_alone(root, caplog):
    caplog.set_level(logging.INFO)
    parser = MSRATD500(root, "train")
    assert [r.name for r in parser.records] == ["IMG_0030", "IMG_9999"]
    folder = root.parent / "HUST-TR400"
    assert caplog.messages == [f"MSRATD500 train: without HUST-TR400, as there is no folder {folder}"]


@pytest.mark.parametrize("name", ["HUST-TR400", "elsewhere"])
def test_training_with_hust(root, caplog, name):
    caplog.set_level(logging.INFO)
    folder = with_hust(root, name)
    parser = MSRATD500(root, "train") if name == "HUST-TR400" else MSRATD500(root, "train", hust=folder)
    assert [r.name for r in parser.records] == ["IMG_0030", "IMG_9999", "Img_1"]
    record = parser[2]
    assert record.image_path == folder / "Img_1.jpg"
    assert record.transcriptions == ["two words", "NO ENTRY"] and record.ignore.tolist() == [False, True]
    assert caplog.messages == [f"MSRATD500 train: with 1 images of HUST-TR400 in {folder}"]
    assert parser.ground_truth == root / "train"


def test_hust_is_found_from_a_relative_root(root, monkeypatch):
    with_hust(root)
    monkeypatch.chdir(root)
    assert len(MSRATD500(".", "train")) == 3


def test_hust_is_not_for_testing(root):
    with_hust(root)
    assert len(MSRATD500(root, "test")) == 2


def test_missing_hust(root):
    with pytest.raises(InputError, match=r"nowhere: no such folder; set data\.train\.hust to that of HUST-TR400"):
        MSRATD500(root, "train", hust=root / "nowhere")


def test_boxes_without_area_are_left_out_and_counted(root):
    layout(root / "train", IMG_0030="0 0 10 20 0 0 0.5\n1 0 10 20 8 0 0\n2 0 10 20 8 2 0\n")
    parser = MSRATD500(root, "train")
    assert len(parser[0].polygons) == 1
    assert sum(parser.issues.counts.values()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0 10 20 8 2 0\n\n0 0 10 20 8 2\n", "line 3: 6 fields where 7 numbers are expected (index difficult x y"),
        ("0 0 10 20 eight 2 0\n", "line 1: field 5 is 'eight', not a number"),
    ],
)
def test_mistakes_name_the_file(root, text, said):
    layout(root / "test", IMG_0059=text)
    with pytest.raises(InputError) as caught:
        MSRATD500(root, "test")
    message = str(caught.value)
    assert said in message and str(root / "test/IMG_0059.gt") in message and "\n" not in message


def test_missing_annotation(root):
    (root / "test/IMG_9999.gt").unlink()
    with pytest.raises(InputError, match=r"IMG_9999\.JPG: has no annotation file .*IMG_9999\.gt; add"):
        MSRATD500(root, "test")
