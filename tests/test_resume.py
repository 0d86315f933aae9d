"""A run killed between epochs and resumed ends with the weights of the uninterrupted run, bit for bit."""

import shutil
import signal
import subprocess
import sys
import time

import torch
from conftest import ROOT, run_process, run_script

from models.weights import read_checkpoint


def weights(folder):
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["state_dict"]


def test_killed_and_resumed_equals_uninterrupted(configs, tmp_path):
    options = [
        "--device",
        "cpu",
        "--seed",
        3,
        "--cfg-options",
        "train_cfg.epoch=4",
        "loss.embedding_version=2",
    ]
    script = ["train.py", configs["student"]]
    run_process(*script, "--work-dir", tmp_path / "whole", *options)

    command = [sys.executable, *map(str, [*script, "--work-dir", tmp_path / "killed", *options])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "resume.ckpt").exists():
        assert process.poll() is None, "ended before its first epoch did"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    interrupted = read_checkpoint(tmp_path / "killed" / "checkpoint_last.pth.tar")
    assert interrupted["epoch"] < 4, "too late to interrupt anything"

    run_process(*script, "--work-dir", tmp_path / "killed", "--resume", *options)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert not torch.equal(interrupted["state_dict"]["head.conv2.weight"], whole["head.conv2.weight"])


def test_resume_without_anything_to_resume_says_so(configs, tmp_path):
    output = run_script("train.py", configs["student"], "--work-dir", tmp_path, "--resume", "--max-steps", 1)
    assert "nothing to resume from" in output


def test_resuming_in_another_precision_says_so(configs, tmp_path):
    script = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path]
    run_script(*script, "--precision", "bf16", "--cfg-options", "train_cfg.epoch=1")
    said = "another precision than it was started with"
    second, third = (run_script(*script, "--resume", "--cfg-options", f"train_cfg.epoch={n}") for n in (2, 3))
    assert f"{said}: was bf16-mixed, is 32-true" in second and said not in third


def test_a_run_stopped_within_an_epoch_resumes_from_the_last_whole_one(configs, tmp_path):
    script = ["train.py", configs["student"], "--device", "cpu"]
    run_script(*script, "--work-dir", tmp_path / "whole")
    run_script(*script, "--work-dir", tmp_path / "stopped", "--max-steps", 4)  # an epoch has three steps
    assert read_checkpoint(tmp_path / "stopped" / "checkpoint_last.pth.tar")["epoch"] == 1
    run_script(*script, "--work-dir", tmp_path / "stopped", "--resume")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_what_was_trained_survives_a_measurement_that_fails(configs, ctw_root, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(ctw_root, root)
    [image, *_] = sorted((root / "test").rglob("*.jpg"))
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    script = ["train.py", configs["student"], "--device", "cpu", "--cfg-options", f"data.root={root}"]
    output = run_script(*script, "--work-dir", tmp_path / "run", code=2)
    assert image.name in output
    saved = read_checkpoint(tmp_path / "run" / "checkpoint_last.pth.tar")
    assert (saved["epoch"], saved["metrics"]) == (1, {})

    image.write_bytes(whole)
    run_script(*script, "--work-dir", tmp_path / "whole")
    first = read_checkpoint(tmp_path / "whole" / "checkpoint_1ep.pth.tar")
    assert first["metrics"]["hmean"] >= 0
    assert all(torch.equal(first["state_dict"][key], value) for key, value in saved["state_dict"].items())
