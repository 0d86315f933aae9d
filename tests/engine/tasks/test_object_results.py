"""Detections of the resized image, brought to the pixels of its file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from object_networks import HEADS, small_rcnn

from engine.tasks import TASKS
from engine.tasks.objects import ObjectTestSettings, to_original
from errors import InputError
from eval.coco import decode_mask
from models import build_detector
from post_processing import decode_pan, decode_psenet, decoder

FOUND = dict(
    boxes=np.array([[8.0, 4, 16, 12]], np.float32),
    labels=np.array([2]),
    scores=np.array([0.75], np.float32),
    masks=np.ones((1, 1, 28, 28), np.float32),
)


def test_boxes_and_masks_of_the_original_image():
    """40x80 pixels were brought to 20x20: x by 4, y by 2."""
    result = to_original(**FOUND, size=(20, 20), original_size=(40, 80), with_masks=True)
    assert result["boxes"].tolist() == [[32, 8, 64, 24]]
    assert result["labels"].tolist() == [2] and result["scores"].tolist() == [0.75]
    [mask] = map(decode_mask, result["segmentations"])
    rows, columns = np.nonzero(mask)
    assert mask.shape == (40, 80)
    assert np.abs([columns.min() - 32, rows.min() - 8, columns.max() + 1 - 64, rows.max() + 1 - 24]).max() <= 1


def test_masks_are_cut_at_a_probability_of_one_half():
    faint = {**FOUND, "masks": FOUND["masks"] * np.linspace(0, 1, 28, dtype=np.float32)}  # rising from left to right
    result = to_original(**faint, size=(20, 20), original_size=(40, 80), with_masks=True)
    columns = np.nonzero(decode_mask(result["segmentations"][0]))[1]
    assert abs(columns.min() - 48) <= 1


@pytest.mark.parametrize("heads", HEADS)
def test_detectors_that_find_nothing_say_their_threshold_and_those_without_masks_have_none(heads):
    task, classes = TASKS["objects"], ("a", "b", "c")
    detector = build_detector(small_rcnn(heads, score_thresh=0.25))
    assert "0 detections of at least 0.25" in task.highest(SimpleNamespace(detector=detector), None)
    detector.classes, dataset = classes, SimpleNamespace(classes=classes)
    task.check_labels(detector, dataset, ObjectTestSettings())
    for with_masks in (True, False):
        detector.roi_heads.predict_masks = with_masks
        if with_masks and heads != "faster":
            task.check_labels(detector, dataset, ObjectTestSettings(variant="segm"))
        else:
            with pytest.raises(InputError, match="this detector has no masks; use 'bbox'"):
                task.check_labels(detector, dataset, ObjectTestSettings(variant="segm"))


@pytest.mark.parametrize(
    ("maps", "expected"),
    [(("text", "kernel", "embedding"), decode_pan), (("text", "kernel", "kernel"), decode_psenet)],
)
def test_pixel_aggregation_goes_with_an_embedding(maps, expected):
    assert decoder(maps) is expected
