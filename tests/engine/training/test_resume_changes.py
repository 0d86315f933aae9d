"""What may be changed when a run is resumed, takes effect and is said; what may not is refused in one line."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import run_process, run_script
from training_record import norm, rates, recorded

from dataset.synthetic.text_set import write_dataset
from models.weights import read_checkpoint

LR = 0.05
BASE = ["train_cfg.epoch=2", f"train_cfg.lr={LR}", "train_cfg.optimizer=SGD", "train_cfg.momentum=0.5"]


@pytest.fixture(scope="module")
def interrupted(configs, tmp_path_factory) -> Path:
    """The folder of a run of two epochs, three batches each, that was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp("interrupted")
    run_script(
        "train.py",
        configs["student"],
        "--device",
        "cpu",
        "--work-dir",
        folder,
        "--max-steps",
        4,
        "--cfg-options",
        *BASE,
    )
    return folder


@pytest.fixture
def resume(configs, interrupted, tmp_path) -> Callable:
    """Goes on in a copy of the interrupted run; returns its folder, what was printed and the optimiser's steps."""

    def run(*options: str, more: tuple = (), code: int = 0):
        folder = tmp_path / "run"
        shutil.copytree(interrupted, folder)
        with recorded() as steps:
            output = run_script(
                "train.py", configs["student"], "--device", "cpu", "--work-dir", folder, "--resume", *more,
                "--cfg-options", *BASE, *options, code=code,
            )  # fmt: skip
        return folder, output, steps

    return run


@pytest.mark.parametrize(
    "options, factors, said",
    [
        ([], [(1 - i / 6) ** 0.9 for i in (3, 4, 5)], None),
        (["train_cfg.warmup=0", "train_cfg.parts=1"], [(1 - i / 6) ** 0.9 for i in (3, 4, 5)], None),
        # one epoch of two is done, whatever its batches were: the schedule stands at its half
        (["data.batch_size=1"], [(1 - i / 12) ** 0.9 for i in range(6, 12)], "data.batch_size (was 2, is 1)"),
        (["data.batch_size=3"], [(1 - i / 4) ** 0.9 for i in (2, 3)], "data.batch_size (was 2, is 3)"),
        (["data.batch_size=6"], [0.5**0.9], "data.batch_size (was 2, is 6)"),
        (["train_cfg.grad_accumulation=3"], [0.5**0.9], "train_cfg.grad_accumulation (was 1, is 3)"),
        (["train_cfg.epoch=4"], [(1 - i / 12) ** 0.9 for i in range(3, 12)], "train_cfg.epoch (was 2, is 4)"),
        (["train_cfg.lr=0.1"], [2 * (1 - i / 6) ** 0.9 for i in (3, 4, 5)], "train_cfg.lr (was 0.05, is 0.1)"),
        (["train_cfg.schedule=[1]"], [0.1] * 3, "train_cfg.schedule (was polylr, is [1])"),
        (["train_cfg.val_interval=0"], [(1 - i / 6) ** 0.9 for i in (3, 4, 5)], "train_cfg.val_interval (was 1, is 0)"),
    ],
)
def test_the_schedule_goes_on_where_the_epochs_ended(resume, options, factors, said):
    folder, output, steps = resume(*options)
    assert rates(steps) == pytest.approx([LR * factor for factor in factors], rel=1e-12)
    assert (said is None and "from here on with" not in output) or f"from here on with {said}\n" in output
    last = read_checkpoint(folder / "checkpoint_last.pth.tar")
    assert last["epoch"] == (4 if "train_cfg.epoch=4" in options else 2) and "hmean" in last["metrics"]
    assert torch.load(folder / "resume.ckpt", weights_only=True)["run"]["epochs"] == last["epoch"]
    assert "-1 day" not in output


@pytest.mark.parametrize(
    "option, key, value",
    [
        ("momentum=0.25", "momentum", 0.25),
        ("weight_decay=0.125", "weight_decay", 0.125),
        ("backbone_lr_factor=0.5", "lr_factor", 0.5),
    ],
)
def test_options_of_the_optimiser_take_effect(resume, option, key, value):
    _, output, steps = resume(f"train_cfg.{option}")
    assert [step.options[0][key] for step in steps] == [value] * 3
    assert f"train_cfg.{option.split('=')[0]} (was " in output


def test_the_momentum_of_the_interrupted_run_is_carried_on(resume):
    _, _, [first, *_] = resume("train_cfg.lr=1e-3")
    pull = [(before - after).double() / first.options[0]["lr"] for before, after in zip(first.before, first.after)]
    momenta = [p - g for p, g in zip(pull, first.gradients)]  # 0.5 of the buffer
    assert norm(momenta) > 0.1 * norm(first.gradients)


def test_precision_and_clipping_take_effect(resume):
    _, output, steps = resume("train_cfg.clip_grad=0.01", more=("--precision", "bf16"))
    assert [norm(step.gradients) for step in steps] == pytest.approx([0.01] * 3, rel=1e-2)
    assert "was 32-true, is bf16-mixed" in output and "train_cfg.clip_grad (was None, is 0.01)" in output


def test_another_number_of_images(resume, tmp_path):
    """Twelve images in place of six: the epoch that goes on has six steps, from the schedule's half on."""
    write_dataset(tmp_path / "more", train=12, test=2, size=(128, 128), seed=1)
    folder, output, steps = resume(f"data.root={tmp_path / 'more'}")
    assert rates(steps) == pytest.approx([LR * (1 - i / 12) ** 0.9 for i in range(6, 12)], rel=1e-12)
    assert "images (was 6, is 12)" in output
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == 2


def test_another_number_of_processes(configs, interrupted, tmp_path):
    """Half the batch each, as many steps; `devices` is said to have changed."""
    folder = tmp_path / "run"
    shutil.copytree(interrupted, folder)
    output = run_process(
        "train.py", configs["student"], "--device", "cpu", "--devices", 2, "--work-dir", folder, "--resume",
        "--cfg-options", *BASE, "train_cfg.val_interval=0",
    )  # fmt: skip
    assert "devices (was 1, is 2)" in output
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == 2
    with max(folder.glob("logs/*/metrics.csv")).open() as file:
        logged = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    assert logged == pytest.approx([LR * (1 - 5 / 6) ** 0.9])  # of the last of three steps


@pytest.mark.parametrize(
    "options, named",
    [
        (["train_cfg.optimizer=Adam"], "train_cfg.optimizer (was SGD, is Adam)"),
        (["train_cfg.parts=2", "data.batch_size=1"], "train_cfg.parts (was 1, is 2)"),
        (["train_cfg.seed=1"], "train_cfg.seed (was 0, is 1)"),
        (["train_cfg.ema=0.9"], "train_cfg.ema (was None, is 0.9)"),
        (["loss.text_weight=2"], "loss.text_weight (was"),
        (["model.neck.version=1"], "model.neck.version (was"),
        (["model.head.hidden=32"], "of another architecture"),
    ],
)
def test_what_makes_another_run_of_it_is_refused(resume, options, named):
    folder, output, steps = resume(*options, code=2)
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert named in line and "resume.ckpt" in line and not steps and "Traceback" not in output
    assert (folder / "resume.ckpt").is_file() and (folder / "checkpoint_last.pth.tar").is_file()


def test_what_a_run_started_from_is_not_needed_any_more_and_memory_may_be_saved(configs, resume, interrupted, tmp_path):
    """On the file of initial weights nothing depends after the start; recomputation changes no result."""
    alone, _, _ = resume()
    expected = read_checkpoint(alone / "checkpoint_last.pth.tar")["state_dict"]
    shutil.rmtree(alone)
    gone = [f"train_cfg.pretrain={tmp_path}/gone.pth.tar", "model.recompute=True"]
    folder, _, _ = resume(*gone)
    found = read_checkpoint(folder / "checkpoint_last.pth.tar")["state_dict"]
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path / "new", "--resume"]
    assert "gone.pth.tar: no such checkpoint" in run_script(*command, "--cfg-options", *BASE, *gone, code=2)


def test_fewer_epochs_than_are_done(configs, resume, tmp_path):
    folder, _, _ = resume()
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", folder, "--resume", "--cfg-options"]
    output = run_script(*command, *BASE, "train_cfg.epoch=1", code=2)
    assert "2 epochs are done, train_cfg.epoch asks for 1; give 2 or more" in output
    before = (folder / "checkpoint_last.pth.tar").read_bytes()
    run_script(*command, *BASE)  # all of them are done: nothing to do, and nothing is changed
    assert (folder / "checkpoint_last.pth.tar").read_bytes() == before
