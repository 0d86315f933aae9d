"""Bringing COCO-Text and COCO annotations into the layout of Total-Text."""

from __future__ import annotations

import numpy as np
import pytest
from label_files import ALL_TRAIN, CURVE, ann, coco_text, error, run, write_coco

from dataset.text.parsers.total_text import TotalText


def test_coco_text_with_its_own_split(tmp_path):
    anns = {
        "7": ann(1),
        "8": ann(1, legibility="illegible", utf8_string=""),
        "9": ann(2, mask=None, polygon=[1, 1, 9, 1, 9, 5, 1, 5]),  # as version 1 names it
        "10": ann(2, mask=[], bbox=[10, 20, 30, 5], utf8_string="###"),
    }
    source = write_coco(tmp_path / "in", coco_text(anns, a="train", b="val"))
    output = run("cocotext", source, tmp_path / "out")
    assert "Train: 1 images, 2 instances, 1 of them ignored" in output
    [train], [test] = (TotalText(tmp_path / "out", split) for split in ("train", "test"))
    assert train.name == "a" and np.array_equal(train.polygons[0], CURVE)
    assert train.transcriptions == ["word", "#"] and train.ignore.tolist() == [False, True]
    assert np.array_equal(test.polygons[0], [[1, 1], [9, 1], [9, 5], [1, 5]])
    assert np.array_equal(test.polygons[1], [[10, 20], [40, 20], [40, 25], [10, 25]])
    assert test.ignore.tolist() == [False, True]


def test_test_images_whose_annotations_are_kept_back_are_left_out(tmp_path):
    source = write_coco(tmp_path / "in", coco_text({"7": ann(1)}, a="train", b="test"))
    output = run("cocotext", source, tmp_path / "out", *ALL_TRAIN)
    assert "1 images of the set 'test' without annotations left out" in output and "Test: 0 images" in output


def test_plain_coco(tmp_path):
    flat = np.ravel(CURVE).tolist()
    content = {
        "images": [{"id": 3, "file_name": "a.jpg"}, {"id": 5, "file_name": "b.jpg", "width": 60, "height": 40}],
        "annotations": [
            {"id": 1, "image_id": 3, "segmentation": [flat], "text": "word"},
            {"id": 2, "image_id": 3, "segmentation": [flat], "iscrowd": 1},
            {"id": 3, "image_id": 3, "segmentation": [flat, [1, 20, 9, 20, 9, 25]]},
            {"id": 4, "image_id": 3, "segmentation": {"counts": [1], "size": [40, 60]}, "bbox": [1, 2, 30, 4]},
            {"id": 5, "image_id": 3, "bbox": [1, 2, 30, 4]},
        ],
        "categories": [],
    }  # fmt: skip
    images = tmp_path / "images"
    source = write_coco(images, content).rename(tmp_path / "labels.json")
    output = run("cocotext", source, tmp_path / "out", *ALL_TRAIN, "--images", images)
    first, second = TotalText(tmp_path / "out", "train")
    assert second.polygons == [] and [len(p) for p in first.polygons] == [6, 6, 6, 3, 4, 4]
    assert first.ignore.tolist() == [False, True, True, True, True, False]
    assert first.transcriptions == ["word", "#", "#", "#", "#", ""]
    assert "1 outlines in several parts ignored, first in" in output and "annotations[2]" in output
    assert "1 run-length masks replaced by their box and ignored" in output


@pytest.mark.parametrize(
    ("anns", "said"),
    [
        ({"7": ann(9)}, "labels.json, anns.7: image_id 9 is the id of no image in 'imgs'"),
        ({"7": ann(None)}, "anns.7: has no image_id, expected a whole number or a string"),
        ({"7": ann(mask=[1, 2, 3, 4])}, "anns.7.mask: has 2 points, expected 3 or more"),
        ({"7": ann(mask=[1, 2, 3, 4, 5, 6, 7])}, "anns.7.mask: is no list of x, y pairs"),
        ({"7": ann(mask=[1, 2, 3, float("nan"), 5, 6])}, "anns.7.mask: point 2 is (3.0, nan)"),
        ({"7": ann(mask=None)}, "anns.7: has no bbox, expected a list"),
        ({"7": ann(mask=None, bbox=[1, 2, 3])}, "anns.7.bbox: is no list of x, y pairs"),
        ({"7": 3}, "anns.7: has no image_id"),
        (3, "labels.json: has no 'anns'"),
    ],
)
def test_a_mistake_in_an_annotation_is_named(tmp_path, anns, said):
    source = write_coco(tmp_path / "in", coco_text(anns))
    assert said in error("cocotext", source, tmp_path / "out", *ALL_TRAIN)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([{"id": 1, "file_name": "c.jpg"}], "images[0]: file_name 'c.jpg': there is no file"),
        ([{"id": 1}], "images[0]: has no file_name, expected a string"),
        ([{"file_name": "a.jpg"}], "images[0]: has no id, expected"),
        ([{"id": 1, "file_name": n} for n in ("a.jpg", "b.jpg")], "images[1]: id 1 is also that of"),
        ([{"id": i, "file_name": "a.jpg"} for i in (1, 2)], "images[1]: image "),
        ([{"id": 1, "file_name": "a.jpg", "set": "dev"}], "images[0]: set is 'dev'; expected one of train, val, test"),
        ([{"id": 1, "file_name": "a.jpg", "width": 5, "height": 5}], "images[0]: made on an image of 5x5, but"),
        ([], "0 images leave the split Train empty; add some"),
        (None, "has no 'images'; expected 'imgs' and 'anns', or 'images' and 'annotations'"),
    ],
)
def test_a_mistake_in_an_image_entry_is_named(tmp_path, images, said):
    source = write_coco(tmp_path / "in", {"images": images, "annotations": []})
    assert said in error("cocotext", source, tmp_path / "out", *ALL_TRAIN)


def test_an_image_that_is_missing_is_one_mistake_not_one_for_each_of_its_annotations(tmp_path):
    source = write_coco(tmp_path / "in", coco_text({"7": ann(1), "8": ann(1), "9": ann(2)}), names=("b.jpg",))
    assert "imgs.1: file_name 'a.jpg'" in error("cocotext", source, tmp_path / "out", *ALL_TRAIN)
