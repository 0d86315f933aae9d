"""A run that was interrupted, however it was, ends with the weights of the uninterrupted run, bit for bit."""

import csv
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run_process, run_script
from stage_configs import SHAPES, write_configs

from dataset.synthetic.shape_set import write_coco
from engine.training import resume
from errors import InputError
from models.weights import read_checkpoint


def weights(folder):
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["state_dict"]


def assert_equal_weights(first: Path, second: Path) -> None:
    left, right = weights(first), weights(second)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []


@pytest.fixture(scope="module")
def runs(configs, tmp_path_factory) -> dict[str, list]:
    """Commands that train: text, with parts, with accumulated gradients, distilled; and objects."""
    folder = tmp_path_factory.mktemp("runs")
    write_coco(folder / "shapes", train=6, val=2, size=(64, 64), seed=2)
    objects = write_configs(folder, {**SHAPES, "root": (folder / "shapes").as_posix()})
    run_script("train.py", configs["teacher"], "--device", "cpu", "--work-dir", folder / "teacher", "--max-steps", 1)
    teacher = folder / "teacher" / "checkpoint_last.pth.tar"
    text = ["train.py", configs["student"], "--cfg-options", "loss.embedding_version=2"]
    return {
        "text": [*text, "train_cfg.epoch=3"],
        "parts": [*text, "train_cfg.epoch=2", "train_cfg.parts=2", "data.batch_size=1"],
        "accumulation": [*text, "train_cfg.epoch=3", "train_cfg.grad_accumulation=2", "train_cfg.optimizer=SGD"],
        "distilled": [
            *("knowledge_distillation_train.py", configs["distill"], "--checkpoint_t", teacher),
            *("--cfg-options", "train_cfg.epoch=3", "train_cfg.ema=0.9", "train_cfg.optimizer=AdamW"),
            # Other channels than the teacher's: what is trained beside the student, a projection, goes on, too.
            *("model.neck.channels=32", "model.transformer.channels=32", "model.adapter.channels=128"),
        ],
        "objects": ["train.py", objects["faster"], "--cfg-options", "train_cfg.epoch=3"],
    }


@pytest.mark.parametrize("kind", ["text", "parts", "accumulation", "distilled", "objects"])
def test_resumed_equals_uninterrupted_whatever_the_number_of_workers(runs, tmp_path, kind):
    """The uninterrupted run reads its samples itself; the resumed ones have them read by 0, 1 and 2 processes."""

    def run(folder: Path, workers: int, *options: object) -> None:
        run_script(*runs[kind], f"data.num_workers={workers}", "--device", "cpu", "--work-dir", folder, *options)

    run(tmp_path / "whole", 0)
    within = 4  # steps: within the second epoch, which is repeated
    for workers in (0, 1, 2) if kind == "text" else (2,):
        folder = tmp_path / f"{workers} workers"
        run(folder, workers, "--max-steps", within)
        assert (folder / "resume.ckpt").is_file()
        run(folder, workers, "--resume")
        assert_equal_weights(tmp_path / "whole", folder)


def kill_at_random(command: list[str], folder: Path, chance: random.Random, most: float) -> bool:
    """Starts a run, and kills it some time after its first epoch; False if it ended before."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (folder / "resume.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, most))
    ended = process.poll()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ended in (None, 0)
    return ended is None


@pytest.mark.parametrize("kind", ["text", pytest.param("objects", marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_resumed_equals_uninterrupted(runs, tmp_path, kind, monkeypatch):
    """With two processes that read samples and two threads; what a kill leaves half-written is swept away."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    options = ["train_cfg.epoch=4", "data.num_workers=2", "--device", "cpu", "--seed", 3]
    run_process(*runs[kind], *options, "--work-dir", tmp_path / "whole")
    folder, seed = tmp_path / "killed", time.time_ns()
    command = [sys.executable, *map(str, [*runs[kind], *options, "--work-dir", folder])]
    assert kill_at_random(command, folder, random.Random(seed), 0.3), f"seed {seed}: nothing was interrupted"
    interrupted = weights(folder)
    (folder / ".resume.ckpt.1234.tmp").write_bytes(b"half")
    run_process(*command[1:], "--resume")
    assert_equal_weights(tmp_path / "whole", folder)
    assert not torch.equal(next(iter(interrupted.values())), next(iter(weights(folder).values())))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "accumulation", "objects"])
def test_killed_again_and_again(runs, tmp_path, kind):
    options = ["train_cfg.epoch=30", "data.num_workers=1", "--device", "cpu"]
    run_script(*runs[kind], *options, "--work-dir", tmp_path / "whole")
    folder, seed = tmp_path / "killed", time.time_ns()
    chance = random.Random(seed)
    command = [sys.executable, *map(str, [*runs[kind], *options, "--work-dir", folder])]
    kills = 0
    while kill_at_random([*command, "--resume"], folder, chance, 12) and kills < 8:
        kills += 1
    assert kills, f"seed {seed}: nothing was interrupted"
    run_process(*command[1:], "--resume")
    assert_equal_weights(tmp_path / "whole", folder)


def test_two_processes_resumed_equal_two_processes_uninterrupted(runs, tmp_path):
    common = [*runs["distilled"], "train_cfg.epoch=2", "data.num_workers=2", "train_cfg.val_interval=0"]
    common += ["--device", "cpu", "--devices", 2]
    run_process(*common, "--work-dir", tmp_path / "whole")
    run_process(*common, "--work-dir", tmp_path / "stopped", "--max-steps", 4)
    run_process(*common, "--work-dir", tmp_path / "stopped", "--resume")
    assert_equal_weights(tmp_path / "whole", tmp_path / "stopped")


def test_resume_without_anything_to_resume_says_so(configs, tmp_path):
    output = run_script("train.py", configs["student"], "--work-dir", tmp_path, "--resume", "--max-steps", 1)
    assert "nothing to resume from" in output


def test_a_file_that_a_shared_folder_shows_late_is_waited_for(tmp_path, monkeypatch):
    """On further machines alone, and not for ever."""
    monkeypatch.setattr(resume, "PATIENCE", 1)
    assert resume.resume_point(tmp_path, {}, None, wait=True) == (None, 0)
    monkeypatch.setattr(resume, "PATIENCE", 60)
    threading.Timer(1, (tmp_path / "resume.ckpt").write_bytes, [b"seen late"]).start()
    assert resume.resume_point(tmp_path, {}, None) == (None, 0)  # the first machine knows what it has written
    with pytest.raises(InputError, match=r"resume\.ckpt"):  # it is read, and is no checkpoint
        resume.resume_point(tmp_path, {}, None, wait=True)


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


@pytest.mark.parametrize(("steps", "epoch", "whole"), [(2, 2, False), (3, 3, True), (4, 3, False), (100, 4, True)])
def test_max_steps_of_a_resumed_run_are_its_own(configs, tmp_path, steps, epoch, whole):
    """Two epochs of three steps are done, of four."""
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path]
    run_script(*command, "--cfg-options", "train_cfg.epoch=2")
    run_script(*command, "--resume", "--max-steps", steps, "--cfg-options", "train_cfg.epoch=4")
    assert read_checkpoint(tmp_path / "checkpoint_last.pth.tar")["epoch"] == epoch
    state = read_checkpoint(tmp_path / "resume.ckpt")
    assert state["run"]["epochs"] == epoch and state["global_step"] == 3 * epoch
    with open(max(tmp_path.glob("logs/*/metrics.csv"), key=lambda path: path.stat().st_mtime)) as file:
        logged = [int(row["step"]) for row in csv.DictReader(file)]
    assert not whole or max(logged) < 3 * epoch


def test_the_best_score_is_of_the_test_set_at_hand(configs, tmp_path):
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path, "--cfg-options"]
    run_script(*command, "train_cfg.epoch=1")
    state = read_checkpoint(tmp_path / "resume.ckpt")
    [own] = [value for value in state["callbacks"].values() if "best" in value]
    own["best"] = 0.9
    torch.save(state, tmp_path / "resume.ckpt")
    resumed = [*command[:-1], "--resume", "--cfg-options"]
    run_script(*resumed, "train_cfg.epoch=2", f"test_cfg.result_path={tmp_path / 'elsewhere'}")
    assert read_checkpoint(tmp_path / "checkpoint_best.pth.tar")["epoch"] == 1
    output = run_script(*resumed, "train_cfg.epoch=3", "test_cfg.min_score=0.5")
    assert "the next one is the best so far" in output
    assert read_checkpoint(tmp_path / "checkpoint_best.pth.tar")["epoch"] == 3
