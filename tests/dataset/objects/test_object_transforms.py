"""Resizing, flipping and batching of images with boxes and masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dataset.objects.records import ObjectBatch, ObjectRecord
from dataset.objects.transforms import (
    ObjectTestTransform,
    ObjectTrainTransform,
    collate_objects,
    resized_size,
)


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


def picture(boxes: list[list[int]], size: tuple[int, int] = (40, 60)) -> tuple[np.ndarray, ObjectRecord]:
    """An image that is white inside its boxes and black elsewhere, with masks that say the same."""
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    pixels = np.repeat(255 * masks.max(axis=0, initial=0)[..., None], 3, axis=2)
    labels = np.arange(1, len(boxes) + 1)
    record = ObjectRecord(Path("a.png"), 1, "a", np.array(boxes, np.float32).reshape(-1, 4), labels, masks)
    return pixels, record


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("short", [20, 40, 53, 80])
def test_boxes_and_masks_follow_the_image(flip, short):
    pixels, record = picture([[4, 6, 20, 30], [40, 10, 60, 40]])
    transform = ObjectTrainTransform([short], 500, flip)
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
        transform = ObjectTrainTransform([40], 60, probability)
        flipped = sum(transform(pixels, record, rng).record.boxes[0, 0] > 0 for _ in range(200))
        assert low <= flipped <= high


def test_test_transform_draws_nothing():
    pixels, record = picture([[0, 0, 10, 10]])
    sample = ObjectTestTransform(80, 500)(pixels, record, None)
    assert sample.record.boxes.tolist() == [[0, 0, 20, 20]]


def test_batch():
    parts = [picture([[4, 6, 20, 30], [40, 10, 60, 40]]), picture([], (70, 30)), picture([[1, 1, 2, 2]], (33, 50))]
    samples = [ObjectTestTransform(33, 1000)(p, r, None) for p, r in parts]
    batch = collate_objects(samples)
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
    assert isinstance(moved, ObjectBatch) and moved.names == batch.names
    assert torch.equal(moved.targets[0]["masks"], batch.targets[0]["masks"])
