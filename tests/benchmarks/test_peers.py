"""The benchmark of detectors side by side: scores counted by hand, and every column of its table."""

import dataclasses
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

from errors import InputError

sys.path.append(str(ROOT / "benchmarks"))

from peers import Detector, labelled, measure, table

WORDS = [np.array([[x, 10], [x + 30, 10], [x + 30, 20], [x, 20]]) for x in (10, 60, 110)]


@pytest.fixture
def folders(tmp_path):
    """Two images, each with the three WORDS, the last of which is ignored."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir(), labels.mkdir()
    for name in ("img_10", "img_11"):
        cv2.imwrite(str(images / f"{name}.png"), np.zeros((64, 160, 3), np.uint8))
        lines = [",".join(map(str, word.ravel())) for word in WORDS]
        text = f"{lines[0]},one\n{lines[1]},two\n{lines[2]},###\n"
        (labels / f"gt_{name}.txt").write_text(text)
    return images, labels


def detector(model: str, found: dict, **about) -> Detector:
    def prepare(file):
        return np.zeros((1, 3, 64, 160 if file.stem == "img_10" else 96), np.float32)

    fields = dict(runtime="onnx", threads=2, scored=True) | about
    return Detector(model, **fields, prepare=prepare, network=np.sum, detect=lambda file: found[file.stem])


def test_scores_are_those_of_the_official_rule(folders):
    images, truth = labelled(*folders, every=1)
    everything = dict.fromkeys(("img_10", "img_11"), WORDS)
    half = {"img_10": [WORDS[0], WORDS[0] + 200], "img_11": []}  # one of four words, and one of two detections
    rows = list(measure([detector("all", everything), detector("half", half)], images, truth, repeats=2))
    assert [(row.model, row.hmean) for row in rows] == [("all", 1.0), ("half", pytest.approx(1 / 3))]
    assert (rows[1].precision, rows[1].recall) == (0.5, 0.25)
    assert all(value >= 0 for row in rows for value in (*row.network, *row.pipeline))


def test_an_untrained_network_is_timed_and_not_scored(folders):
    images, truth = labelled(*folders, every=10)
    assert [path.stem for path in images] == ["img_10"]
    [row] = measure([detector("light", {"img_10": []}, scored=False)], images, truth, repeats=1)
    assert row.hmean is row.precision is row.recall is None and row.size == (64, 160)
    scored = dataclasses.replace(row, hmean=0.5, precision=1.0, recall=1 / 3)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([row, scored]).splitlines()]
    assert len({len(line) for line in lines}) == 1
    assert lines[2][:7] == ["light", "onnx", "2", "64x160", "-", "-", "-"]
    assert lines[3][4:7] == ["50.0", "100.0", "33.3"]


def test_images_and_labels_must_belong_together(folders):
    images, labels = folders
    (labels / "gt_img_11.txt").unlink()
    with pytest.raises(InputError, match=r"no label file for img_11.png, such as gt_img_11.txt"):
        labelled(images, labels, every=1)
    with pytest.raises(InputError, match="no image in it"):
        labelled(images, labels, every=7)
