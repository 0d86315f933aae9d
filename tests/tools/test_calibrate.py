"""The choice of thresholds: the best of all, kept in the checkpoint, and used by whatever detects with it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from conftest import run_script
from icdar_files import layout
from text_networks import small_model

from engine.inference import Predictor
from engine.tasks.text import TextTask
from engine.training.checkpoint import save_checkpoint
from models import build_detector
from models.weights import read_checkpoint

CONFIG = """
model = {model}
loss = dict(type="PANLoss")
data = dict(
    root="{root}",
    batch_size=1,
    num_workers=0,
    train=dict(type="ICDAR2015", split="train", img_size=64, short_size=64, kernel_scale=0.5),
    test=dict(type="ICDAR2015", split="test", short_size=96),
)
train_cfg = dict(epoch=1, optimizer="Adam", lr=0.001)
test_cfg = dict(protocol="icdar2015", min_score=0.9, min_area=5, bbox_type="rect")
"""


def bright_maps(task, detector, images, sizes) -> list[dict[str, torch.Tensor]]:
    """A network that is as sure of text and kernel as a pixel is bright: 0 at grey, 3 at white."""
    grey = images[:, :1, ::4, ::4] * 0.229 + 0.485
    maps = 6 * (grey - 0.5)
    return [{"logits": one} for one in torch.cat([maps, maps, torch.zeros(len(maps), 4, *maps.shape[2:])], 1)]


def test_the_best_thresholds_are_those_that_are_used(tmp_path, monkeypatch):
    """Text is white, in a halo of a probability of 0.65, that makes the box four times as large if it is taken.

    And there is a speck of 12x12 pixels.
    """
    root = layout(tmp_path / "data", {"img_1": "32,32,80,32,80,48,32,48,word\n", "img_2": ""}, part="test")
    halo = round(255 * (0.5 + math.log(0.65 / 0.35) / 6))
    image = np.zeros((96, 160, 3), np.uint8)
    image[20:60, 16:96], image[32:48, 32:80] = halo, 255
    image[72:84, 120:132] = 255
    for number in (1, 2):
        cv2.imwrite(str(root / f"Challenge4/ch4_test_images/img_{number}.png"), image * (number == 1))
    config, given, out = tmp_path / "config.py", tmp_path / "a.pth.tar", tmp_path / "out.pth.tar"
    config.write_text(CONFIG.format(model=small_model(), root=root.as_posix()))
    detector = build_detector(small_model())
    trained = {"model": small_model(), "data": {"test": {"type": "ICDAR2015", "split": "test", "short_size": 96}}}
    test_cfg = {"protocol": "icdar2015", "min_score": 0.9, "bbox_type": "rect"}
    save_checkpoint(given, detector.state_dict(), {**trained, "test_cfg": test_cfg}, 3, {"hmean": 0.25})
    monkeypatch.setattr(TextTask, "network", bright_maps)

    printed = run_script("tools/calibrate.py", config, given, out)
    usual, best = ([float(word) for word in line.split()] for line in printed.splitlines()[1:3])
    assert usual == [0.5, 0.5, 5, 0, 0, 0, 0] and best == [0.7, 0.5, 200, 0, 1, 1, 1]
    before, after = read_checkpoint(given), read_checkpoint(out)
    chosen = {"min_text": 0.7, "min_kernel": 0.5, "min_area": 200, "min_score": 0.0}
    assert after["config"] == {**before["config"], "test_cfg": {**test_cfg, **chosen}}
    assert (after["epoch"], after["metrics"]) == (3, {"hmean": 0.25})
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    predictor = Predictor.load(out, device="cpu")
    assert {name: getattr(predictor, name) for name in chosen} == chosen and predictor.bbox_type == "rect"

    output = run_script("tools/calibrate.py", config, given, tmp_path / "b.pth.tar", "--max-steps", 3, code=0)
    assert output.splitlines()[2].split() == printed.splitlines()[2].split()
    image[:] = 0
    cv2.imwrite(str(root / "Challenge4/ch4_test_images/img_1.png"), image)
    assert "finds no text in 2 images" in run_script("tools/calibrate.py", config, given, tmp_path / "c", code=2)
    none = [config, given, tmp_path / "c", "--max-steps", 0]
    assert "expected 1 or more images" in run_script("tools/calibrate.py", *none, code=2)
    assert "would be lost" in run_script("tools/calibrate.py", config, given, given, code=2)
