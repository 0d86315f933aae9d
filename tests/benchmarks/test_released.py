"""The detectors of weights/: their measurement, their card, and the copies of one network."""

from __future__ import annotations

import hashlib
import json
import re
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from exported_networks import bright_network, needs_packages, picture, save
from icdar_files import layout

sys.path.insert(0, str(ROOT / "benchmarks"))

from released import NAMES, table

from engine.experiment import load_experiment
from engine.inference.runtimes import DETECTOR, load_runtime
from engine.training.checkpoint import load_detector
from models.weights import read_checkpoint

WEIGHTS = sorted(path for path in (ROOT / "weights").iterdir() if path.suffix != ".md")
CARD = (ROOT / "weights/README.md").read_text(encoding="utf-8")


@needs_packages
def test_scores_are_those_of_held_back_images(tmp_path):
    """Images 1 and 2 are trained with, 10 to 30 are not: text that is found, text that is not, and no text."""
    label = "10,10,60,10,60,40,10,40,word\n"
    layout(tmp_path, {f"img_{n}": label for n in (1, 2, 10, 20)} | {"img_30": ""})
    images = tmp_path / "Challenge4/ch4_training_images"
    for n in (1, 2, 10, 20, 30):
        save(images / f"img_{n}.png", picture(48, 96, *[(10, 10, 60, 40)] * (n == 10)))
    model = bright_network(tmp_path / "bright.onnx")
    written = tmp_path / "out.json"
    printed = run_script(
        *("benchmarks/released.py", model, "--short-side", 48, 96, "--out", written),
        *("--cfg-options", f"data.root={tmp_path.as_posix()}"),
    )
    content = json.loads(written.read_text())
    row, larger = content["rows"]
    assert (row["file"], row["images"], row["min_score"]) == ("bright.onnx", 3, 0.8)
    assert (row["short_side"], larger["short_side"], larger["hmean"]) == (48, 96, pytest.approx(2 / 3))
    assert (row["protocol"], row["variant"]) == ("icdar2015", "official")
    assert (row["precision"], row["recall"], row["hmean"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert row["interval"] == [0.0, 1.0]  # an image without detections, and one that is right, drawn alone
    assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert row["milliseconds"] > 0 < row["cpu_milliseconds"]
    assert printed.splitlines()[-1] == table(content["rows"]).splitlines()[-1]
    thresholds = " | ".join(str(row[name]) for name in NAMES)
    assert f"| `bright.onnx` | 0.0 | 3 | 48 | {thresholds} | 100.0 | 50.0 | 66.7 | 0.0 to 100.0 |" in printed


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.name)
def test_every_file_is_on_the_card_with_its_hash(path):
    assert path.stat().st_size < 15e6
    assert f"| `{path.name}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in CARD


def test_the_card_has_what_was_measured():
    rows = json.loads((ROOT / "benchmarks/results/released.json").read_text())["rows"]
    assert {row["file"] for row in rows} == {path.name for path in WEIGHTS if path.suffix == ".onnx"}
    assert table(rows) in CARD
    for row in rows:
        assert row["sha256"] in CARD
    assert DETECTOR in WEIGHTS
    named = set(re.findall(r"weights/([\w.]+)", CARD))
    assert named <= {path.name for path in WEIGHTS} | {"README.md"}


@pytest.mark.parametrize("path", [path for path in WEIGHTS if path.suffix == ".tar"], ids=lambda path: path.name)
def test_the_configs_have_the_networks_of_the_checkpoints(path):
    """So that a training starts from them (`train_cfg.pretrain`), and `--checkpoint_t` takes them."""
    name = path.name.split("_")[1]
    model = load_experiment(ROOT / f"config/light/{name}_ic15.py").model
    assert read_checkpoint(path)["config"]["model"] == model


@needs_packages
@pytest.mark.parametrize("path", [path for path in WEIGHTS if path.suffix == ".tar"], ids=lambda path: path.name)
def test_checkpoint_and_export_are_one_network(path):
    """To the rounding of weights in 16 bits, where the checkpoint has others."""
    content = read_checkpoint(path)
    detector, _ = load_detector(content["config"]["model"], path)
    network = load_runtime(path.with_name(path.name.replace(".pth.tar", ".onnx")), "onnx", threads=1)
    images = np.random.default_rng(0).normal(size=(1, 3, 96, 160)).astype(np.float32)
    with torch.inference_mode():
        maps = detector.eval()(torch.from_numpy(images)).logits.numpy()
    assert np.abs(network(images) - maps).max() < 0.02 * np.abs(maps).max()
