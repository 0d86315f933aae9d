"""Detection data in COCO format: what is read and left out, and the samples and batches of it."""

from __future__ import annotations

import json
import logging

import cv2
import numpy as np
import pytest
import torch
from coco_files import TEST, TRAIN, box, content, dataset_of, image, same, write
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dataset import EpochSampler, UnreadableImage
from dataset.image_dataset import UNREADABLE
from dataset.objects.dataset import CLIPPED, EMPTY, MISSING, THIN, build_object_dataset
from dataset.objects.transforms import (
    collate_objects,
)
from engine.tasks import TASKS
from errors import InputError

REAL = ROOT.parent / "shared" / "data" / "coco"


# --- what is read


def test_records(tmp_path):
    dataset = dataset_of(write(tmp_path))
    assert dataset.classes == ("car", "cat", "kite") and dataset.category_ids == (3, 17, 90)
    assert len(dataset) == 2  # the image without a box is skipped
    first, second = dataset.record(0), dataset.record(1)
    assert (first.image_id, first.name, second.image_id, second.name) == (7, "7", 900, "900")
    assert first.boxes.tolist() == [[0, 0, 60, 40], [1.5, 2.5, 4.5, 6.5]] and first.labels.tolist() == [1, 2]
    assert second.boxes.tolist() == [[10, 5, 30, 35]] and second.labels.tolist() == [3]  # without the crowd
    assert first.boxes.dtype == np.float32 and first.labels.dtype == np.int64
    boxes, labels = dataset.boxes_of(1)
    assert np.array_equal(boxes, second.boxes) and np.array_equal(labels, second.labels)
    assert dataset.ground_truth == tmp_path / "gt.json" and dataset.image_path(1) == tmp_path / "images" / "900.png"


def test_images_without_boxes(tmp_path):
    write(tmp_path)
    assert [dataset_of(tmp_path, skip_empty=False).record(i).image_id for i in range(3)] == [7, 5, 900]
    testing = dataset_of(tmp_path, training=False)
    assert len(testing) == 3 and testing.boxes_of(1)[0].shape == (0, 4)
    assert len(dataset_of(tmp_path, training=False, skip_empty=True)) == 2
    batch = collate_objects([testing[1]])
    assert batch.targets[0]["boxes"].shape == (0, 4) and batch.targets[0]["labels"].dtype == torch.int64


def test_names_below_folders(tmp_path):
    entry = {**image(1), "file_name": "a/b.c/1.png"}
    (tmp_path / "images/a/b.c").mkdir(parents=True)
    write(tmp_path, content(images=[entry], annotations=[box(1, 1, [1, 1, 5, 5])]))
    dataset = dataset_of(tmp_path)
    assert dataset.record(0).name == "a/b.c/1" and dataset[0].record.name == "a/b.c/1"


# --- what is left out


def test_pictures_stay_in_their_folder(tmp_path):
    tables = content(images=[{**image(7), "file_name": str(tmp_path / "7.png")}, {**image(5), "file_name": "../5.png"}])
    tables["annotations"] = tables["annotations"][1:2]
    dataset = dataset_of(write(tmp_path / "set", tables), training=False)
    before = (tmp_path / "7.png").read_bytes()
    TASKS["objects"].save_pictures(tmp_path / "set" / "pictures", dataset, range(2), {7: {}, 5: {}})
    assert (tmp_path / "7.png").read_bytes() == before and not list(tmp_path.glob("set/*.jpg"))
    assert {path.name for path in (tmp_path / "set" / "pictures").rglob("*.jpg")} == {"7.jpg", "5.jpg"}


def test_boxes_beyond_the_image(tmp_path, caplog):
    boxes = [
        [-10, -5, 30, 20],  # clipped
        [50, 30, 1000, 9.5],  # clipped
        [1, 1, 59.5, 10],  # clipped, by less than a pixel: not worth a word
        [60, 0, 10, 10],  # outside, from here on
        [0, -10, 10, 10],
        [5, 5, 0, 10],
        [5, 5, 10, -1],
    ]
    crowd = box(99, 1, [-50, -50, 10, 10], iscrowd=1)
    annotations = [box(i, 1, b) for i, b in enumerate(boxes, 1)] + [crowd, box(100, 2, [70, 0, 5, 5])]
    write(tmp_path, content(images=[image(1), image(2)], annotations=annotations))
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of(tmp_path)
    assert dataset.record(0).boxes.tolist() == [[0, 0, 20, 15], [50, 30, 60, 39.5], [1, 1, 60, 11]]
    assert len(dataset) == 1  # image 2 has no box left
    assert f"2 {CLIPPED}, first in {tmp_path / 'gt.json'}, annotations[0]" in caplog.text
    assert f"5 {EMPTY}, first in {tmp_path / 'gt.json'}, annotations[3]" in caplog.text
    assert len(caplog.records) == 2


@given(
    st.lists(
        st.tuples(st.integers(-90, 90), st.integers(-90, 90), st.integers(-3, 90), st.integers(-3, 90)), max_size=9
    )
)
def test_boxes_are_what_pixels_say(tmp_path_factory, boxes):
    """Against a literal reference: the pixels of the image that lie in the box."""
    root = tmp_path_factory.mktemp("boxes")
    annotations = [box(i, 1, list(b)) for i, b in enumerate(boxes)]
    write(root, content(images=[image(1, 20, 30)], annotations=annotations))
    found = dataset_of(root, training=False).record(0).boxes.tolist()
    expected = []
    for x, y, w, h in boxes:
        columns = [c for c in range(30) if x <= c < x + w]
        rows = [r for r in range(20) if y <= r < y + h]
        if columns and rows:
            expected.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    assert found == expected


def test_missing_images(tmp_path, caplog):
    images = [image(i) for i in range(200)]
    write(tmp_path, content(images=images, annotations=[box(i, i, [1, 1, 9, 9]) for i in range(200)]))
    for i in (3, 8):
        (tmp_path / "images" / f"{i}.png").unlink()
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of(tmp_path)
    assert len(dataset) == 198 and 3 not in {dataset.record(i).image_id for i in range(198)}
    assert f"2 {MISSING}, first in {tmp_path / 'images' / '3.png'}" in caplog.text
    with pytest.raises(InputError, match=r"gt\.json: 2 of 200 images are not in .*images, the first: 3\.png"):
        dataset_of(tmp_path, training=False)
    (tmp_path / "images" / "100.png").unlink()
    with pytest.raises(InputError, match="3 of 200"):
        dataset_of(tmp_path)


def test_damaged_images(tmp_path):
    images = [image(i) for i in range(120)]
    write(tmp_path, content(images=images, annotations=[box(i, i, [1, 1, 9, 9]) for i in range(120)]))
    damaged = tmp_path / "images" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    dataset = dataset_of(tmp_path)
    assert dataset[1].record.image_id == 2 and dataset.issues.summary() == [f"COCO gt.json: 1 {UNREADABLE}"]
    with pytest.raises(UnreadableImage, match=r"1\.png"):
        dataset_of(tmp_path, training=False)[1]
    (tmp_path / "images" / "2.png").write_bytes(b"")
    with pytest.raises(InputError, match="2 of 120 images cannot be read"):
        dataset[1]


def test_image_of_another_size(tmp_path):
    write(tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "7.png"), np.zeros((60, 40, 3), np.uint8))
    with pytest.raises(UnreadableImage, match=r"7\.png: is 40x60 pixels where .*gt\.json says 60x40"):
        dataset_of(tmp_path, training=False)[0]


def test_root_of_a_split(tmp_path):
    write(tmp_path / "here")
    assert len(build_object_dataset({**TEST, "root": tmp_path / "here"}, "elsewhere", training=False)) == 3


# --- samples and batches


def test_sample_depends_on_seed_epoch_and_index_only(tmp_path):
    write(tmp_path)
    options = {"short_sides": [32, 40, 48, 56]}
    dataset = dataset_of(tmp_path, **options)
    epochs = [dataset[(epoch, 0)] for epoch in range(8)]
    assert same(dataset[(0, 1)], dataset[1])
    assert all(same(a, dataset_of(tmp_path, **options)[(e, 0)]) for e, a in enumerate(epochs))
    assert len({a.image.shape for a in epochs}) > 1
    other = build_object_dataset({**TRAIN, **options}, tmp_path, True, seed=5)
    assert not all(same(a, other[(e, 0)]) for e, a in enumerate(epochs))
    with pytest.raises(IndexError):
        dataset[2]


def test_batches_do_not_depend_on_workers(tmp_path):
    write(tmp_path)
    dataset = dataset_of(tmp_path, short_sides=[32, 64])
    runs = []
    for workers in (0, 2):
        sampler = EpochSampler(len(dataset), seed=1)
        sampler.set_epoch(3)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=collate_objects)
        runs.append(list(loader))
    for alone, worked in zip(*runs, strict=True):
        assert torch.equal(alone.images, worked.images) and alone.image_ids == worked.image_ids
        for a, b in zip(alone.targets, worked.targets, strict=True):
            assert torch.equal(a["boxes"], b["boxes"]) and torch.equal(a["labels"], b["labels"])


# --- real files


@pytest.mark.skipif(not REAL.is_dir(), reason="no COCO samples here")
@pytest.mark.parametrize(("split", "images", "with_boxes"), [("train", 4, 4), ("val", 6, 5)])
def test_real_samples(split, images, with_boxes):
    path = REAL / "annotations" / f"instances_{split}2017.json"
    options = {"type": "COCO", "annotations": f"annotations/{path.name}", "images": f"{split}2017", "with_masks": True}
    testing = build_object_dataset(options, REAL, training=False)
    training = build_object_dataset(options, REAL, training=True)
    assert (len(testing), len(training)) == (images, with_boxes) and len(testing.classes) == 80
    assert testing.category_ids[-1] == 90 and testing.classes[0] == "person"
    tables = json.loads(path.read_text())
    for i in range(images):
        record = testing.record(i)
        kept = [a for a in tables["annotations"] if a["image_id"] == record.image_id and not a["iscrowd"]]
        expected = np.array([a["bbox"] for a in kept]).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(record.boxes, expected, atol=0.51)
        assert [testing.category_ids[label - 1] for label in record.labels] == [a["category_id"] for a in kept]
    sample = training[(1, 0)]
    assert min(sample.image.shape[1:]) == 800 or max(sample.image.shape[1:]) == 1333
    for bounds, mask in zip(sample.record.boxes, sample.record.masks):
        x, y, w, h = cv2.boundingRect(mask)
        assert np.abs(bounds - [x, y, x + w, y + h]).max() < 4  # a mask of whole pixels, enlarged


@pytest.mark.parametrize("width", [5.551115123125783e-17, 1e-6, 0.0124])
def test_boxes_without_width_once_resized_are_left_out(tmp_path, width):
    """At half size a box of 0.0124 px is thinner than a hundredth of a pixel; the others keep their width in a flip."""
    boxes = [box(1, 7, [0.0, 3, width, 20]), box(2, 7, [30, 3, 0.05, 20]), box(3, 7, [5, 3, 20, 30])]
    write(tmp_path, content(annotations=boxes))
    dataset = dataset_of(tmp_path, short_sides=[20, 32], flip=1)
    assert [dataset.boxes_of(0)[0].shape, dataset.found] == [(2, 4), {THIN: 1}]
    for epoch in range(8):
        sides = dataset[epoch, 0].record.boxes
        assert (sides[:, 2:] - sides[:, :2] > 0.01).all()
    line = "COCO gt.json: 1 images of 60x40 pixels, 2 instances, 0 of them ignored"
    assert dataset.overview() == f"{line}; 1 {THIN}"


def test_crowds_are_what_is_ignored(tmp_path):
    dataset = dataset_of(write(tmp_path))
    assert dataset.instance_counts() == (4, 1)
    assert dataset.overview().startswith("COCO gt.json: 2 images of 60x40 pixels, 4 instances, 1 of them ignored")


def test_fields_of_annotations_in_other_tables_and_the_other_way_round(tmp_path):
    tables = content()
    for entry in tables["images"]:
        entry |= {"image_id": entry["file_name"], "bbox": 3}
    for entry in tables["categories"]:
        entry["image_id"] = 3
    for entry in tables["annotations"]:
        entry |= {"file_name": "a.png", "name": "a"}
    plain, extra = dataset_of(write(tmp_path / "a")), dataset_of(write(tmp_path / "b", tables))
    assert len(plain) == len(extra) == 2 and all(same(plain[i], extra[i]) for i in range(2))


def test_backslashes_of_windows(tmp_path):
    write(tmp_path, content())
    tables = content()
    for entry in tables["images"]:
        entry["file_name"] = f"images\\{entry['file_name']}"
    (tmp_path / "gt.json").write_text(json.dumps(tables))
    dataset = dataset_of(tmp_path, images=".")
    assert len(dataset) == 2 and dataset[0].record.name == "images/7"
