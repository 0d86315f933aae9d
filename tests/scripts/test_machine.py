"""The machine fails, or the user stops the program: one line, the exit code of the kind, and nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from conftest import ROOT, run_script
from processes import members, wait_until

from engine.files import lock_folder
from engine.training import run as training
from models.weights import read_checkpoint

resource = pytest.importorskip("resource")


@pytest.fixture
def trained(configs, tmp_path):
    """The command of a run of which one epoch is done, its folder and what this holds."""
    folder = tmp_path / "run"
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", folder]
    run_script(*command, "--cfg-options", "train_cfg.epoch=1")
    return command, folder, whole_files(folder)


def whole_files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.*") if path.is_file() and path.name[0] != "."}


def error_line(output: str) -> str:
    assert "Traceback" not in output
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


# ----------------------------------------------------------------------------------------------------- the disk is full


@contextmanager
def nearly_full(left: int):
    """No file can become larger than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_cannot_be_written_whole_leaves_those_of_the_epoch_before(trained, share):
    """Files of at most that share of a checkpoint can be written, as on a disk that is nearly full."""
    command, folder, before = trained
    with nearly_full(int(len(before["checkpoint_last.pth.tar"]) * share)):
        output = run_script(*command, "--resume", "--cfg-options", "train_cfg.epoch=2", code=2)
    line = error_line(output)
    assert str(folder) in line and "--resume" in line
    assert {key: value for key, value in whole_files(folder).items() if key in before} == before
    assert not list(folder.glob(".*.tmp"))
    run_script(*command, "--resume", "--cfg-options", "train_cfg.epoch=2")
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == 2


def test_pictures_that_cannot_be_written_are_named_and_the_scores_are_kept(trained, tmp_path):
    command, folder, _ = trained
    test = ["test.py", command[1], folder / "checkpoint_last.pth.tar", "--work-dir", tmp_path / "tested"]
    run_script(*test, "--vis", tmp_path / "pictures")
    smallest = min(path.stat().st_size for path in (tmp_path / "pictures").iterdir())
    most = max(path.stat().st_size for path in (tmp_path / "tested").rglob("*") if path.is_file())
    assert most < smallest, "the limit lies between"
    before = {path: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    (tmp_path / "tested" / "results.json").unlink()
    with nearly_full(smallest - 1):
        line = error_line(run_script(*test, "--vis", tmp_path / "pictures", code=2))
    assert str(tmp_path / "pictures") in line and "free space" in line
    assert (tmp_path / "tested" / "results.json").is_file()
    assert {path: path.read_bytes() for path in (tmp_path / "pictures").iterdir()} == before


@pytest.mark.parametrize("tool", ["make_synthetic", "make_synthetic_coco"])
@pytest.mark.parametrize("workers", [1, 2])
def test_data_sets_that_cannot_be_written_leave_nothing(tmp_path, tool, workers):
    make = [f"tools/{tool}.py", tmp_path / "set", "--train", 4, "--size", "96x96", "--workers", workers]
    with nearly_full(1000):
        line = error_line(run_script(*make, code=2))
    assert line.startswith(f"error: {tmp_path / 'set'}") and "free space" in line
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------------- the weights


@pytest.mark.parametrize("batch", [2, 6])
def test_weights_that_diverge_in_the_last_step_of_an_epoch_are_not_saved(trained, batch):
    command, folder, before = trained
    options = ["train_cfg.epoch=3", "train_cfg.lr=1e30", "train_cfg.warmup=0", f"data.batch_size={batch}"]
    line = error_line(run_script(*command, "--resume", "--cfg-options", *options, code=2))
    assert "not finite" in line and "lower train_cfg.lr" in line
    assert {key: value for key, value in whole_files(folder).items() if key in before} == before
    run_script(*command, "--resume", "--cfg-options", "train_cfg.epoch=2")
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == 2


# ------------------------------------------------------------------------------------------------- two runs, one folder


def test_a_folder_in_which_another_program_works_is_refused(trained, monkeypatch):
    command, folder, before = trained
    monkeypatch.setattr(training, "lock_folder", partial(lock_folder, patience=0.1))
    with lock_folder(folder):
        for option in ((), ("--resume",)):
            line = error_line(run_script(*command, *option, code=2))
            assert f"{folder}: another program works there" in line
    assert whole_files(folder) == before
    run_script(*command, "--resume")


# ---------------------------------------------------------------------------------------------------------- the signals


@pytest.fixture
def start(configs, tmp_path):
    """Starts a long training in a process group of its own; returns process and folder."""
    started = []

    def run(*options: object):
        folder = tmp_path / "run"
        command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", folder, *options]
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process, folder

    yield run
    for process in started:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs the table of processes of Linux")
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["imports", "training"])
def test_a_signal_to_the_whole_group_ends_it_with_one_line(start, number, code, moment):
    process, folder = start("--cfg-options", "train_cfg.epoch=9999", "data.num_workers=2")
    if moment == "imports":
        wait_until(lambda: os.path.exists(f"/proc/{process.pid}/maps") and "libtorch" in maps(process.pid))
    else:
        wait_until(lambda: (folder / "resume.ckpt").exists(), 60)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors and errors.splitlines()[-1] == "interrupted; go on with --resume"
    wait_until(lambda: not members(process.pid))
    if moment == "training":
        assert read_checkpoint(folder / "resume.ckpt")["run"]["epochs"] >= 1


def maps(pid: int) -> str:
    with open(f"/proc/{pid}/maps") as file:
        return file.read()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs the table of processes of Linux")
def test_a_data_worker_that_is_killed_ends_the_run_with_one_line(start):
    """As the kernel does when the memory is at its end."""
    process, folder = start("--cfg-options", "train_cfg.epoch=9999", "data.num_workers=2", "train_cfg.val_interval=0")
    wait_until(lambda: (folder / "resume.ckpt").exists(), 60)
    wait_until(lambda: len(members(process.pid)) >= 3)
    worker = max(members(process.pid))
    time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "smaller images or batches" in error_line(errors) and "--shm-size" in error_line(errors)
    wait_until(lambda: not members(process.pid))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_tools_end_on_signals_with_one_line(tmp_path, number, code):
    make = ["tools/make_synthetic.py", tmp_path / "set", "--train", "5000", "--size", "640x640", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, *map(str, make)], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: len(list(tmp_path.glob(".set.partial-*/train/text_image/*"))) > 2)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (code, "interrupted\n")
        wait_until(lambda: not members(process.pid))
    finally:
        with suppress(ProcessLookupError):  # it would render for an hour
            os.killpg(process.pid, signal.SIGKILL)
    assert not list(tmp_path.iterdir())
