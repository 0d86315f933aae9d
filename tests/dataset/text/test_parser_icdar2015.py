"""The ICDAR2015 parser, on annotations of a few lines and on the real images where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from dataset.registry import PARSERS
from dataset.text.parsers.icdar2015 import ICDAR2015
from errors import InputError

REAL = ROOT.parent / "shared" / "data" / "ICDAR2015"
QUAD = "377,117,463,117,465,130,378,130"
QUAD_POINTS = [(377, 117), (463, 117), (465, 130), (378, 130)]


def layout(root: Path, part: str, labels: dict[str, str | bytes], suffix: str = ".jpg") -> Path:
    """`Challenge4` of one part with an image for each of the label files."""
    images = root / f"Challenge4/ch4_{part}_images"
    folder = root / f"Challenge4/ch4_{part}_localization_transcription_gt"
    for path in (images, folder):
        path.mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        (images / f"{stem}{suffix}").touch()
        (folder / f"gt_{stem}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_training_file_with_mark(tmp_path):
    text = f'\ufeff{QUAD},Genaxis Theatre\r\n{QUAD},###\r\n{QUAD},1,200 "éts"\r\n{QUAD},\r\n-4,1,9,1,9,-7,0,-7,a\r\n'
    layout(tmp_path, "training", {"img_1": text})
    parser = PARSERS.get("ICDAR2015")(tmp_path, "train")
    assert isinstance(parser, ICDAR2015) and len(parser) == 1 and parser.issues.summary() == []
    record = parser[0]
    assert record.image_path == tmp_path / "Challenge4/ch4_training_images/img_1.jpg"
    for polygon in record.polygons[:4]:
        assert polygon.dtype == np.float32
        np.testing.assert_array_equal(polygon, QUAD_POINTS)
    np.testing.assert_array_equal(record.polygons[4], [(-4, 1), (9, 1), (9, -7), (0, -7)])
    assert record.transcriptions == ["Genaxis Theatre", "###", '1,200 "éts"', "", "a"]
    assert record.ignore.tolist() == [False, True, False, False, False]


def test_test_file_without_mark(tmp_path):
    layout(tmp_path, "test", {"img_1": f"{QUAD},###\r\n{QUAD},###\r\n", "img_2": ""}, ".JPG")
    parser = ICDAR2015(tmp_path, "test")
    assert parser[0].ignore.tolist() == [True, True] and parser[1].polygons == []
    assert parser.ground_truth == tmp_path / "Challenge4/ch4_test_localization_transcription_gt"


def test_validation_is_every_tenth_by_number(tmp_path):
    layout(tmp_path, "training", {f"img_{n}": f"{QUAD},{n}" for n in range(1, 41)})
    names = {split: {r.name for r in ICDAR2015(tmp_path, split).records} for split in ("train", "train_part")}
    validation = ICDAR2015(tmp_path, "validation")
    assert [r.name for r in validation.records] == ["img_10", "img_20", "img_30", "img_40"]
    assert [r.transcriptions for r in validation.records] == [["10"], ["20"], ["30"], ["40"]]
    assert names["train_part"] == names["train"] - {"img_10", "img_20", "img_30", "img_40"}
    assert len(names["train"]) == 40
    gt = tmp_path / "Challenge4/ch4_training_localization_transcription_gt"
    assert validation.ground_truth == ICDAR2015(tmp_path, "train_part").ground_truth == gt


def test_tuning_is_apart_from_validation_and_from_what_it_trains_on(tmp_path):
    layout(tmp_path, "training", {f"img_{n}": "" for n in range(1, 41)})
    parts = {
        split: {r.name for r in ICDAR2015(tmp_path, split).records} for split in ICDAR2015.splits if split != "test"
    }
    assert parts["tuning"] == {"img_5", "img_15", "img_25", "img_35"}
    assert parts["tuning_part"] == parts["train"] - parts["validation"] - parts["tuning"]
    assert parts["train_part"] == parts["tuning_part"] | parts["tuning"]


def test_validation_needs_numbers(tmp_path):
    layout(tmp_path, "training", {"img_1": "", "photo": ""})
    assert len(ICDAR2015(tmp_path, "train")) == 2
    with pytest.raises(InputError, match=r"photo\.jpg: is not named img_N"):
        ICDAR2015(tmp_path, "validation")


def test_degenerate_quadrilaterals_are_left_out_and_counted(tmp_path):
    text = f"1,1,1,1,5,5,5,5,point\n{QUAD},word\n1,1,2,2,3,3,4,4,line\n"
    layout(tmp_path, "training", {"img_1": text})
    parser = ICDAR2015(tmp_path, "train")
    assert parser[0].transcriptions == ["word"]
    first, second = parser.issues.summary()
    assert "1 polygons with < 3 distinct points" in first and first.endswith("gt_img_1.txt, line 1")
    assert "1 polygons with all points on one line" in second and second.endswith("gt_img_1.txt, line 3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{QUAD},a\n1,2,3,4\n", "line 2: 4 fields where 8 numbers are expected"),
        (f"{QUAD},a\n1,2,3,4,5,x,7,8,b\n", "line 2: field 6 is 'x', not a number"),
        (f"{QUAD},caf\xe9".encode("latin-1"), "byte 35 is not UTF-8"),
    ],
)
def test_mistakes_name_the_file(tmp_path, text, said):
    layout(tmp_path, "test", {"img_1": text})
    with pytest.raises(InputError) as caught:
        ICDAR2015(tmp_path, "test")
    message = str(caught.value)
    assert said in message and "gt_img_1.txt" in message and "\n" not in message


def test_missing_files_and_splits(tmp_path):
    layout(tmp_path, "test", {"img_1": "", "img_2": ""})
    gt = tmp_path / "Challenge4/ch4_test_localization_transcription_gt/gt_img_2.txt"
    gt.unlink()
    with pytest.raises(InputError, match=r"img_2\.jpg: has no annotation file .*gt_img_2\.txt; add"):
        ICDAR2015(tmp_path, "test")
    with pytest.raises(InputError, match=r"no folder .*ch4_training_images; put the data there"):
        ICDAR2015(tmp_path, "train")
    with pytest.raises(InputError, match="one of: train, test, train_part, validation, tuning_part, tuning"):
        ICDAR2015(tmp_path, "val")


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the ICDAR2015 images")
@pytest.mark.parametrize(("split", "part", "images"), [("train", "training", 1000), ("test", "test", 24)])
def test_real_set(split, part, images):
    folder = REAL / f"Challenge4/ch4_{part}_localization_transcription_gt"
    lines = [
        line for path in folder.iterdir() for line in path.read_bytes().splitlines() if line.strip(b"\xef\xbb\xbf")
    ]
    parser = ICDAR2015(REAL, split)
    left_out = sum(parser.issues.counts.values())
    assert len(parser) == images
    assert sum(len(r.polygons) for r in parser.records) + left_out == len(lines)
    assert left_out == 0  # in the published files
    assert sum(int(r.ignore.sum()) for r in parser.records) == sum(line.endswith(b",###") for line in lines)
    assert all(p.shape == (4, 2) for r in parser.records for p in r.polygons)
    assert sum(text.count(",") for r in parser.records for text in r.transcriptions) == sum(
        line.count(b",") - 8 for line in lines
    )


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the ICDAR2015 images")
def test_real_validation_split():
    sizes = {split: len(ICDAR2015(REAL, split)) for split in ICDAR2015.splits[2:]}
    assert sizes == {"train_part": 900, "validation": 100, "tuning_part": 800, "tuning": 100}
