"""Detection data in COCO format: what is refused, and how that is said."""

from __future__ import annotations

import json

import pytest
from coco_files import box, changed, content, dataset_of, write

from errors import InputError


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (changed("annotations", 1, category_id=4), r"annotations\[1\]\.category_id is 4; .*3 categories"),
        (changed("annotations", 2, image_id=8), r"annotations\[2\]\.image_id is 8; .*3 images"),
        (changed("annotations", 2, image_id=True), r"annotations\[2\]\.image_id is true; give an integer"),
        (changed("annotations", 0, bbox=[0, 0, float("nan"), 1]), r"annotations\[0\]\.bbox is \[0, 0, NaN, 1\]"),
        (changed("annotations", 0, bbox=[0, 0, float("inf"), 1]), r"annotations\[0\]\.bbox"),
        (changed("annotations", 0, bbox=[0, 0, 1e9, 1]), r"annotations\[0\]\.bbox"),
        (changed("annotations", 3, bbox=[0, 0, "5", 1]), r"annotations\[3\]\.bbox"),
        (changed("annotations", 3, bbox=[0, 0, 5]), r"annotations\[3\]\.bbox"),
        (changed("annotations", 3, bbox=None), r"annotations\[3\]\.bbox is missing; give x, y, width and height"),
        (changed("annotations", 3, iscrowd=[]), r"annotations\[3\]\.iscrowd"),
        (changed("annotations", 3, area="x" * 99), r"annotations\[3\]\.area is \"x{50,57}\.\.\.;"),
        (changed("annotations", 0, area=-600), r"annotations\[0\]\.area is -600; give a number .* not negative"),
        (changed("images", 0, file_name=None, image_id=3), r"images\[0\]\.file_name is missing"),
        (changed("images", 2, id=7), r"images\[2\]\.id is 7; give another than images\[0\] has"),
        (changed("images", 2, id="900"), r"images\[2\]\.id is \"900\"; give an integer"),
        (changed("images", 1, width=0), r"images\[1\]\.width is 0; give a number of pixels"),
        (changed("images", 1, height=10.5), r"images\[1\]\.height"),
        (changed("images", 1, file_name=""), r"images\[1\]\.file_name"),
        (changed("categories", 2, id=90), r"categories\[2\]\.id is 90; give another than categories\[0\] has"),
        (changed("categories", 2, name="kite"), r"categories\[2\]\.name is \"kite\"; give another"),
        (changed("categories", 2, name=None), r"categories\[2\]\.name is missing"),
        (content(images=[]), r"annotations\[0\]\.image_id is 900"),
        (content(images=[3]), r"images\[0\]\.id is missing"),
        (content(annotations=[3]), r"annotations\[0\]\.bbox is missing"),
        (content(annotations=[{"id": 1, "bbox": [0, 0, 1, 1]}]), r"annotations\[0\]\.image_id is missing"),
        (content(annotations=[]), r"has no box to train on"),
        (content(annotations={}), r"has no list `annotations`"),
        ({"images": [], "annotations": []}, r"has no list `categories`"),
        ([1], r"has no list `images`"),
    ],
)
def test_bad_annotations(tmp_path, tables, message):
    write(tmp_path, images=True)
    (tmp_path / "gt.json").write_text(json.dumps(tables))
    with pytest.raises(InputError, match=message) as caught:
        dataset_of(tmp_path)
    assert str(tmp_path / "gt.json") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b'{"images": [', b"\xff\xfe\x00", b"[" * 100_000, b'{"images": [1' + b"0" * 9999]
)
def test_broken_json(tmp_path, text):
    write(tmp_path)
    (tmp_path / "gt.json").write_bytes(text)
    with pytest.raises(InputError, match=r"gt\.json: is no JSON text"):
        dataset_of(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"gt\.json: cannot be opened"):
        dataset_of(tmp_path)
    write(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no such folder of images"):
        dataset_of(tmp_path, images="nowhere")
    (tmp_path / "gt.json").write_text(json.dumps(content(images=[], annotations=[])))
    with pytest.raises(InputError, match="has no image"):
        dataset_of(tmp_path, training=False)


def test_testing_needs_no_box(tmp_path):
    write(tmp_path, content(annotations=[]))
    assert len(dataset_of(tmp_path, training=False)) == 3


@pytest.mark.parametrize(
    ("training", "options", "message"),
    [
        (True, {"type": "VOC"}, r"data\.train\.type is 'VOC'; set it to COCO"),
        (False, {"type": None}, r"data\.test\.type is None"),
        (True, {"short_side": 800}, r"data\.train\.short_side is not an option; .*short_sides"),
        (False, {"flip": 0.5}, r"data\.test\.flip is not an option"),
        (True, {"transform": 1}, r"data\.train\.transform is not an option"),
        (True, {"images": None}, r"data\.train\.images is None; set it to a path"),
        (True, {"short_sides": []}, r"data\.train\.short_sides is \[\]"),
        (True, {"short_sides": 800}, r"data\.train\.short_sides is 800"),
        (True, {"short_sides": [800, 0]}, r"data\.train\.short_sides is 0"),
        (True, {"long_side": "big"}, r"data\.train\.long_side is 'big'"),
        (False, {"short_side": 1.5}, r"data\.test\.short_side is 1\.5"),
        (True, {"flip": 2}, r"data\.train\.flip is 2"),
    ],
)
def test_bad_options(tmp_path, training, options, message):
    write(tmp_path)
    with pytest.raises(InputError, match=message):
        dataset_of(tmp_path, training, **options)


def test_fractions_of_the_image(tmp_path):
    boxes = [box(1, 7, [0.1, 0.2, 0.3, 0.4]), box(2, 900, [0.5, 0.5, 0.5, 0.25]), box(3, 7, [0, 0, 60, 40], iscrowd=1)]
    write(tmp_path, content(annotations=boxes))
    for training in (True, False):
        with pytest.raises(InputError, match=r"gt\.json: all boxes lie within 0\.\.1, as fractions"):
            dataset_of(tmp_path, training)


def test_boxes_that_are_all_left_out_are_named(tmp_path):
    write(tmp_path, content(annotations=[box(1, 7, [0, 0, 1e-9, 40]), box(2, 900, [5, 5, 0, 3])]))
    with pytest.raises(InputError, match=r"no box to train on; 1 boxes without area .*; 1 boxes thinner than"):
        dataset_of(tmp_path)
