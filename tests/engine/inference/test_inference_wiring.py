"""Options of the scripts, as far as the networks: batch sizes, precision, processes, images, thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import run_script

from engine.experiment import load_experiment
from engine.inference import Predictor
from engine.inference import evaluator as inference
from engine.inference.pipeline import start
from engine.training.checkpoint import new_detector, save_checkpoint


@pytest.fixture
def checkpoint(configs, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    cfg = load_experiment(configs["student"])
    save_checkpoint(folder / "checkpoint_1ep.pth.tar", new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    return folder / "checkpoint_1ep.pth.tar"


@pytest.fixture
def seen(monkeypatch):
    """What the network was given, and what read and post-processed: batches, precisions, keys, processes."""
    seen = {"batches": [], "precisions": set(), "keys": [], "processes": set(), "readers": set(), "settings": []}
    whole, loader, task = inference.ordered_map, inference.DataLoader, inference.TASKS["text"]

    def start_seen(network, inputs, device, precision):
        seen["batches"].append(len(inputs))
        seen["keys"] += [item.key for item in inputs]
        assert device == torch.device("cpu")
        seen["precisions"].add(precision)
        return start(network, inputs, device, precision)

    def map_seen(function, items, processes, backlog):
        seen["processes"].add(processes)
        return whole(function, items, processes, backlog)

    def loader_seen(*args, num_workers, **options):
        seen["readers"].add(num_workers)
        return loader(*args, num_workers=num_workers, **options)

    post_processing = task.post_processing

    def settings_seen(detector, settings, dataset):
        seen["settings"].append(settings)
        return post_processing(detector, settings, dataset)

    monkeypatch.setattr("engine.inference.pipeline.start", start_seen)
    monkeypatch.setattr(inference, "ordered_map", map_seen)
    monkeypatch.setattr(inference, "DataLoader", loader_seen)
    monkeypatch.setattr(type(task), "post_processing", lambda _, *args: settings_seen(*args))
    return seen


OPTIONS = ["--device", "cpu", "--batch-size", 2, "--precision", "bf16", "--max-steps", 2]
ENTRIES = ["--cfg-options", "data.num_workers=1", "test_cfg.min_score=0.125", "test_cfg.min_area=3"]


@pytest.mark.parametrize("script", ["test.py", "batch_eval.py"])
def test_the_options_of_the_scripts_that_test(configs, checkpoint, seen, tmp_path, script):
    what = checkpoint if script == "test.py" else checkpoint.parent
    run_script(script, configs["student"], what, "--work-dir", tmp_path / "out", *OPTIONS, *ENTRIES)
    assert seen["batches"] == [2] and len(set(seen["keys"])) == 2
    assert seen["precisions"] == {"bf16"} and seen["processes"] == seen["readers"] == {1}
    assert {(s.min_score, s.min_area) for s in seen["settings"]} >= {(0.125, 3)}
    # Where nothing is found, test.py looks again with a lower threshold.
    assert seen["settings"][0].min_score == 0.125


@pytest.mark.parametrize("script", ["test.py", "batch_eval.py"])
def test_thresholds_that_a_checkpoint_keeps_are_named_where_others_are_taken(configs, checkpoint, tmp_path, script):
    what = checkpoint if script == "test.py" else checkpoint.parent
    command = [script, configs["student"], what, "--work-dir", tmp_path / "out", "--max-steps", 1]
    of = load_experiment(configs["student"]).test_cfg
    kept = f"{checkpoint}: keeps min_score={of.min_score}, min_area={of.min_area};"
    assert f"{kept} read with min_score=0.125, min_area=3" in " ".join(run_script(*command, *ENTRIES).split())
    assert "read with" not in run_script(*command)


def test_validation_during_training(configs, seen, tmp_path):
    entries = ["train_cfg.epoch=1", "test_cfg.min_score=0.125"]
    command = ["train.py", configs["student"], "--work-dir", tmp_path, "--device", "cpu", "--precision", "bf16"]
    run_script(*command, "--cfg-options", *entries)
    assert sorted(set(seen["keys"])) == sorted(set(seen["keys"][:3])) and len(set(seen["keys"])) == 3
    assert seen["precisions"] == {"bf16"} and seen["settings"][0].min_score == 0.125


def test_bf16_is_not_float32(configs, checkpoint):
    """The precision reaches the arithmetic: outputs of both differ, by little."""
    maps = {}
    for precision in ("32", "bf16"):
        predictor = Predictor.load(checkpoint, device="cpu", precision=precision)
        image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        [job] = predictor.stream([("image", image)])
        maps[precision] = job.maps
    difference = np.abs(maps["32"] - maps["bf16"]).max() / np.abs(maps["32"]).max()
    assert 0 < difference < 0.1
