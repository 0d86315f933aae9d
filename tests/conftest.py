"""A small CTW1500-format data set, and small configs over it, shared by the tests that train."""

from __future__ import annotations

import io
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

# The networks of the tests are so small that threads wait for each other most of the time; must stand before torch is
# imported, and holds for the programs that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import errors
from dataset.synthetic.text_set import write_dataset

ROOT = Path(__file__).resolve().parents[1]

SMALL_CONFIG = """
_base_ = ["{root}/config/_base_/model/kkd_r{depth}.py", "{root}/config/_base_/data/ctw1500.py"]
model = dict(
    backbone=dict(width=16),
    neck=dict(channels=16),
    transformer=dict(channels=16, tokens=4),
    adapter=dict(channels=64),
    head=dict(hidden=16),
)
data = dict(
    batch_size=2,
    num_workers=0,
    root="{data}",
    train=dict(img_size=64, short_size=64),
    test=dict(short_size=64),
)
test_cfg = dict(min_score=0.3)
train_cfg = dict(lr=1e-3, epoch=2, val_interval=1, save_interval=1)
"""
SMALL_DISTILLER = """
distiller = dict(type="KernelMaskDistiller", teachers=[dict(config="{teacher}", checkpoint="none.pth.tar")])
"""


@pytest.fixture(scope="session")
def ctw_root(tmp_path_factory) -> Path:
    """Six training and three test images of 128x128, in a folder with a space in its name."""
    root = tmp_path_factory.mktemp("a data") / "ctw1500"
    write_dataset(root, train=6, test=3, size=(128, 128), seed=0)
    return root


@pytest.fixture(scope="session")
def configs(ctw_root, tmp_path_factory) -> dict[str, Path]:
    """Small config files: 'teacher', 'student' and 'distill'."""
    folder = tmp_path_factory.mktemp("configs")
    texts = {
        name: SMALL_CONFIG.format(root=ROOT.as_posix(), depth=depth, data=ctw_root.as_posix())
        for name, depth in (("teacher", 50), ("student", 18), ("distill", 18))
    }
    texts["distill"] += SMALL_DISTILLER.format(teacher=(folder / "teacher.py").as_posix())
    paths = {name: folder / f"{name}.py" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    return paths


def run_script(*arguments: object, code: int = 0) -> str:
    """Runs a script (or `-m MODULE`) from the root of the checkout; returns stdout and stderr together.

    It runs in this process, as `python SCRIPT` would: a new interpreter would spend most of the time importing.
    """
    path, *options = map(str, arguments)
    output, ended = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", [path, *options])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            if path == "-m":
                patch.setattr(sys, "argv", options)
                runpy.run_module(options[0], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            ended = stop.code or 0
        finally:  # the scripts take the signals over
            errors._Signals.line = None
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert ended == code, output.getvalue()
    return output.getvalue()


def run_process(*arguments: object) -> str:
    """Runs a script in a process of its own, from the root of the checkout."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def bright_model(tmp_path_factory) -> Path:
    """An exported network that takes for text what is bright."""
    from exported_networks import bright_network

    return bright_network(tmp_path_factory.mktemp("model") / "bright.onnx")


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with one.png and two.png, of one box and of two."""
    from exported_networks import ONE, TWO, picture, save

    folder = tmp_path / "photos"
    folder.mkdir()
    save(folder / "one.png", picture(96, 160, ONE))
    save(folder / "two.png", picture(96, 160, ONE, TWO))
    return folder


@pytest.fixture
def steps_of(configs, tmp_path) -> Callable:
    """Trains the small student with options of the config; returns the `Step`s of its optimiser."""
    from training_record import recorded

    def run(*options: str, config: str = "student", script: str = "train.py", more: tuple = ()) -> list:
        options = ["train_cfg.val_interval=0", *options]
        with recorded() as steps:
            run_script(
                script, configs.get(config, config), "--device", "cpu", "--work-dir", tmp_path / "run", *more,
                "--cfg-options", *options,
            )  # fmt: skip
        return steps

    return run
