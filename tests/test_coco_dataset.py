"""Detection data in COCO format: what is read, refused and left out, and what the transforms make of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from annotations.coco import read_coco
from annotations.coco_masks import rasterise
from dataset import EpochSampler, UnreadableImage
from dataset.coco import CLIPPED, EMPTY, MISSING, CocoDataset, build_detection_dataset
from dataset.detection_records import DetectionBatch, DetectionRecord
from dataset.detection_transforms import (
    DetectionTestTransform,
    DetectionTrainTransform,
    collate_detection,
    resized_size,
)
from dataset.image_dataset import UNREADABLE
from engine.tasks import TASKS
from errors import InputError

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "coco"
TRAIN = {"type": "COCO", "annotations": "gt.json", "images": "images", "short_sides": [48], "long_side": 96}
TEST = {"type": "COCO", "annotations": "gt.json", "images": "images", "short_side": 48, "long_side": 96}


def image(image_id: int, height: int = 40, width: int = 60) -> dict:
    return {"id": image_id, "file_name": f"{image_id}.png", "height": height, "width": width}


def box(annotation_id: int, image_id: int, xywh: list[float], category_id: int = 3, **more) -> dict:
    area = xywh[2] * xywh[3]
    entry = {"id": annotation_id, "image_id": image_id, "category_id": category_id, "bbox": xywh, "area": area}
    return {**entry, "iscrowd": 0, **more}


def content(**changes) -> dict:
    """Three images: two boxes, none, and a crowd beside one box. Categories have gaps and are not in order."""
    tables = {
        "images": [image(7), image(5, 30, 80), image(900)],
        "annotations": [
            box(1, 900, [10, 5, 20, 30], 90),
            box(2, 7, [0, 0, 60, 40], 3),
            box(3, 900, [0, 0, 60, 40], 3, iscrowd=1),
            box(4, 7, [1.5, 2.5, 3, 4], 17),
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}],
    }
    return {**tables, **changes}


def write(root: Path, tables: dict | None = None, images: bool = True) -> Path:
    tables = tables or content()
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "gt.json").write_text(json.dumps(tables))
    rng = np.random.default_rng(0)
    for entry in tables["images"] if images else ():
        pixels = rng.integers(0, 256, (entry["height"], entry["width"], 3), np.uint8)
        cv2.imwrite(str(root / "images" / entry["file_name"]), pixels)
    return root


def dataset_of(root: Path, training: bool = True, **options) -> CocoDataset:
    return build_detection_dataset({**(TRAIN if training else TEST), **options}, root, training, seed=4)


def same(first, second) -> bool:
    return np.array_equal(first.image, second.image) and np.array_equal(first.record.boxes, second.record.boxes)


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
    batch = collate_detection([testing[1]])
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
    TASKS["detection"].save_pictures(tmp_path / "set" / "pictures", dataset, range(2), {7: {}, 5: {}})
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
    """Against a literal twin: the pixels of the image that lie in the box."""
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


# --- what is refused


def changed(table: str, i: int, **fields) -> dict:
    tables = content()
    tables[table][i].update(fields)
    return tables


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


def test_root_of_a_split(tmp_path):
    write(tmp_path / "here")
    assert len(build_detection_dataset({**TEST, "root": tmp_path / "here"}, "elsewhere", training=False)) == 3


# --- samples and batches


def test_sample_depends_on_seed_epoch_and_index_only(tmp_path):
    write(tmp_path)
    options = {"short_sides": [32, 40, 48, 56]}
    dataset = dataset_of(tmp_path, **options)
    epochs = [dataset[(epoch, 0)] for epoch in range(8)]
    assert same(dataset[(0, 1)], dataset[1])
    assert all(same(a, dataset_of(tmp_path, **options)[(e, 0)]) for e, a in enumerate(epochs))
    assert len({a.image.shape for a in epochs}) > 1
    other = build_detection_dataset({**TRAIN, **options}, tmp_path, True, seed=5)
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
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=collate_detection)
        runs.append(list(loader))
    for alone, worked in zip(*runs, strict=True):
        assert torch.equal(alone.images, worked.images) and alone.image_ids == worked.image_ids
        for a, b in zip(alone.targets, worked.targets, strict=True):
            assert torch.equal(a["boxes"], b["boxes"]) and torch.equal(a["labels"], b["labels"])


@pytest.mark.parametrize(
    ("size", "short", "long", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),  # the sizes that the field's tables are made with
        ((427, 640), 800, 1333, (800, 1199)),
        ((640, 427), 800, 1333, (1199, 800)),
        ((300, 1000), 800, 1333, (400, 1333)),
        ((1, 5000), 800, 1333, (1, 1333)),
        ((256, 256), 256, 256, (256, 256)),
    ],
)
def test_resized_size(size, short, long, expected):
    assert resized_size(size, short, long) == expected


def picture(boxes: list[list[int]], size: tuple[int, int] = (40, 60)) -> tuple[np.ndarray, DetectionRecord]:
    """An image that is white inside its boxes and black elsewhere, with masks that say the same."""
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    pixels = np.repeat(255 * masks.max(axis=0, initial=0)[..., None], 3, axis=2)
    labels = np.arange(1, len(boxes) + 1)
    record = DetectionRecord(Path("a.png"), 1, "a", np.array(boxes, np.float32).reshape(-1, 4), labels, masks)
    return pixels, record


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("short", [20, 40, 53, 80])
def test_boxes_and_masks_follow_the_image(flip, short):
    pixels, record = picture([[4, 6, 20, 30], [40, 10, 60, 40]])
    transform = DetectionTrainTransform([short], 500, flip)
    sample = transform(pixels, record, np.random.default_rng(0))
    white = sample.image[0] > (sample.image.max() + sample.image.min()) / 2
    assert sample.original_size == (40, 60) and sample.image.shape == (3, *resized_size((40, 60), short, 500))
    for bounds, mask in zip(sample.record.boxes, sample.record.masks):
        x, y, w, h = cv2.boundingRect(mask)
        assert np.abs(bounds - [x, y, x + w, y + h]).max() <= 0.5
    assert np.array_equal(white, sample.record.masks.any(axis=0))
    expected = np.array([[4, 6, 20, 30], [40, 10, 60, 40]])
    if flip:
        expected = np.array([[40, 6, 56, 30], [0, 10, 20, 40]])
    h, w = sample.image.shape[1:]
    np.testing.assert_allclose(sample.record.boxes, expected * [w / 60, h / 40, w / 60, h / 40], rtol=1e-6)


def test_flip_is_drawn():
    pixels, record = picture([[0, 0, 10, 10]])
    rng = np.random.default_rng(0)
    for probability, low, high in ((0, 0, 0), (0.3, 30, 90), (1, 200, 200)):
        transform = DetectionTrainTransform([40], 60, probability)
        flipped = sum(transform(pixels, record, rng).record.boxes[0, 0] > 0 for _ in range(200))
        assert low <= flipped <= high


def test_test_transform_draws_nothing():
    pixels, record = picture([[0, 0, 10, 10]])
    sample = DetectionTestTransform(80, 500)(pixels, record, None)
    assert sample.record.boxes.tolist() == [[0, 0, 20, 20]]


def test_batch():
    parts = [picture([[4, 6, 20, 30], [40, 10, 60, 40]]), picture([], (70, 30)), picture([[1, 1, 2, 2]], (33, 50))]
    samples = [DetectionTestTransform(33, 1000)(p, r, None) for p, r in parts]
    batch = collate_detection(samples)
    assert batch.sizes == [(33, 50), (77, 33), (33, 50)] and batch.images.shape == (3, 3, 96, 64)
    assert batch.images.dtype == torch.float32
    assert batch.original_sizes == [(40, 60), (70, 30), (33, 50)]
    assert batch.image_ids == [1, 1, 1] and batch.names == ["a"] * 3
    for i, ((h, w), sample) in enumerate(zip(batch.sizes, samples)):
        assert torch.equal(batch.images[i, :, :h, :w], torch.from_numpy(sample.image))
        assert not batch.images[i, :, h:].any() and not batch.images[i, :, :, w:].any()
        masks = batch.targets[i]["masks"]
        assert masks.shape == (len(sample.record.boxes), 96, 64) and masks.dtype == torch.uint8
        assert np.array_equal(masks[:, :h, :w], sample.record.masks) and masks.sum() == sample.record.masks.sum()
    moved = batch.to("cpu")
    assert isinstance(moved, DetectionBatch) and moved.names == batch.names
    assert torch.equal(moved.targets[0]["masks"], batch.targets[0]["masks"])


# --- masks


def even_odd(polygon: list[float], x: float, y: float) -> bool:
    """Whether a point lies in a polygon: crossings of a ray."""
    corners = np.reshape(polygon, (-1, 2))
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0)):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


def test_polygons():
    rings = [[2.0, 2.0, 12.0, 4.0, 6.0, 15.0], [8.0, 8.0, 18.0, 8.0, 18.0, 18.0, 8.0, 18.0]]
    found = rasterise(rings, (20, 24), "here")
    centres = [[any(even_odd(ring, x + 0.5, y + 0.5) for ring in rings) for x in range(24)] for y in range(20)]
    differing = np.argwhere(found != np.array(centres))
    assert found.shape == (20, 24) and found.sum() > 100 and len(differing) <= 8  # pixels that an edge cuts


def runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run-length encoding, down the columns, beginning with zeros: one pixel at a time."""
    counts, last = [0], 0
    for value in mask.T.ravel().tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


def compressed(counts: list[int]) -> str:
    """The format's string: differences to the count before the last, 5 bits a character, lowest first."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths(seed):
    rng = np.random.default_rng(seed)
    mask = cv2.blur(rng.integers(0, 256, (37, 91), np.uint8), (5, 5)) > 128
    counts = runs(mask)
    for form in (counts, compressed(counts)):
        assert np.array_equal(rasterise({"size": [37, 91], "counts": form}, (37, 91), "here"), mask)


def test_masks_of_a_data_set(tmp_path):
    blob = np.zeros((40, 60), np.uint8)
    blob[5:35, 10:30] = 1
    encoded = {"size": [40, 60], "counts": runs(blob)}
    tables = content()
    tables["annotations"][0]["segmentation"] = encoded
    tables["annotations"][2]["segmentation"] = {"size": [40, 60], "counts": compressed(runs(1 - blob))}
    tables["annotations"][1]["segmentation"] = [[0, 0, 30, 0, 30, 40, 0, 40], [30, 0, 60, 0, 60, 40, 30, 40]]
    tables["annotations"][3]["segmentation"] = [[2, 3, 4, 3, 4, 6, 2, 6]]
    write(tmp_path, tables)
    dataset = dataset_of(tmp_path, with_masks=True, short_sides=[40], flip=0)
    small = np.zeros((40, 60), np.uint8)
    small[3:6, 2:4] = 1
    assert np.array_equal(dataset[0].record.masks, [np.ones((40, 60)), small])
    assert np.array_equal(dataset[1].record.masks, [blob])
    assert dataset_of(tmp_path)[0].record.masks is None
    stored = read_coco(tmp_path / "gt.json", with_masks=True).segmentations
    assert [stored[i] for i in range(4)] == [a["segmentation"] for a in tables["annotations"]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "is missing; give a list of polygons"),
        ([], r"is \[\]"),
        ([[1, 1, 5, 5]], r"is \[\[1\.0, 1\.0, 5\.0, 5\.0\]\]"),
        ([[1, 1, 5, 5, 3, 4, 4]], "segmentation is"),
        ([[1, 1, 5, 5, 3, "4"]], "segmentation is"),
        ([[1, 1, 5, 5, 3, float("nan")]], "segmentation is"),
        ([[1, 1, 5, 5, 3, 1e12]], "segmentation is"),
        ([[1, 1, 5, 5, 3, 10**400]], "segmentation is"),
        ("abc", "segmentation is"),
        ({"counts": [2400]}, "segmentation is"),
        ({"size": [60, 40], "counts": [2400]}, r"segmentation\.size is \[60, 40\]; give \[40, 60\]"),
    ],
)
def test_bad_masks(tmp_path, mask, message):
    tables = content(annotations=[box(1, 7, [0, 0, 9, 9], segmentation=mask)])
    write(tmp_path, tables)
    with pytest.raises(
        InputError, match=r"gt\.json: annotations\[0\]\.segmentation.*" + message.removeprefix("segmentation")
    ):
        dataset_of(tmp_path, with_masks=True)
    assert len(dataset_of(tmp_path)) == 1  # nobody asked for masks


@pytest.mark.parametrize("counts", [[3, 4], [3, -4, 2401], [9999], ["a"], "", "zzzz", "0P", "0P0", "é", "~" * 50])
def test_damaged_run_lengths(tmp_path, counts):
    mask = {"size": [40, 60], "counts": counts}
    write(tmp_path, content(annotations=[box(1, 7, [0, 0, 9, 9], segmentation=mask)]))
    with pytest.raises(InputError, match=r"gt\.json, annotations\[0\]: segmentation\.counts counts"):
        dataset_of(tmp_path, with_masks=True)[0]


# --- real files


@pytest.mark.skipif(not REAL.is_dir(), reason="no COCO samples here")
@pytest.mark.parametrize(("split", "images", "with_boxes"), [("train", 4, 4), ("val", 6, 5)])
def test_real_samples(split, images, with_boxes):
    path = REAL / "annotations" / f"instances_{split}2017.json"
    options = {"type": "COCO", "annotations": f"annotations/{path.name}", "images": f"{split}2017", "with_masks": True}
    testing = build_detection_dataset(options, REAL, training=False)
    training = build_detection_dataset(options, REAL, training=True)
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
