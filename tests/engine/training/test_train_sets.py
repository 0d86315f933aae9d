"""What a training set says before the first step, and what it refuses."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
from coco_files import TEST, content, write
from coco_files import TRAIN as COCO
from icdar_files import QUAD, layout
from icdar_files import TRAIN as TEXT

from dataset import object_split, text_split
from engine.settings import DataSettings
from engine.tasks import TASKS
from engine.training.data import DataModule
from engine.training.processes import Processes
from errors import InputError


def test_the_overview_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    root = layout(tmp_path / "text", {"img_1": f"{QUAD},a", "img_2": f"{QUAD},###"})
    dataset = TASKS["text"].train_set(text_split(TEXT, root, training=True), seed=0)
    assert dataset.overview() in caplog.messages and "2 instances, 1 of them ignored" in dataset.overview()
    objects = TASKS["objects"].train_set(object_split(COCO, write(tmp_path / "objects"), training=True), seed=0)
    assert objects.overview() in caplog.messages


@pytest.mark.parametrize(("images", "batch_size", "processes"), [(2, 1, 1), (1, 8, 1), (4, 2, 2)])
def test_batch_normalisation_of_one_pixel_is_refused(tmp_path, images, batch_size, processes):
    root = layout(tmp_path, {f"img_{i}": f"{QUAD},a" for i in range(images)})
    small, large = (text_split({**TEXT, "img_size": side}, root, training=True) for side in (32, 64))
    settings = partial(DataSettings, str(root), batch_size=batch_size)
    shared = Processes(processes, 1, torch.device("cpu"))
    with pytest.raises(InputError, match=r"data\.train\.img_size=32 with one image a batch"):
        DataModule(
            TASKS["text"], settings(small), seed=0, parts=1, processes=Processes(processes, 1, torch.device("cpu"))
        )
    DataModule(TASKS["text"], settings(large), seed=0, parts=1, processes=shared)


def test_a_test_set_with_nothing_to_find_is_refused(tmp_path):
    settings = TASKS["text"].settings(protocol="icdar2015", bbox_type="rect")
    for name, lines, reason in [("none", "", "1 images without"), ("ignored", f"{QUAD},###", "all 1 instances are")]:
        root = layout(tmp_path / name, {"img_1": f"{QUAD},a"})
        layout(tmp_path / name, {"img_1": lines}, part="test")
        split = text_split({"type": "ICDAR2015", "split": "test", "short_size": 64}, root, training=False)
        with pytest.raises(InputError, match=rf"has no text to find: {reason}"):
            TASKS["text"].test_set(split, settings)
    split = object_split(TEST, write(tmp_path / "objects", content(annotations=[])), training=False)
    with pytest.raises(InputError, match="has no box to find"):
        TASKS["objects"].test_set(split, TASKS["objects"].settings())
