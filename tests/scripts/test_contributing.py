"""The examples of CONTRIBUTING.md, each as its own file beside the project's, in trainings from a config."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SMALL_CONFIG
from PIL import Image

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", BLOCKS)
def test_sizes_are_as_the_guide_says(name):
    lines = len(BLOCKS[name].splitlines()) + 1  # with the comment that names the file
    before = GUIDE[: GUIDE.index(f"# {name}")].rpartition("file of ")[2]
    assert int(before.split()[0]) == lines


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the code with the examples in their places, each imported by its package."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("annotations", "dataset", "distillation", "engine", "eval", "models", "post_processing", "config"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, root)
    assert len(BLOCKS) == 3
    for name, text in BLOCKS.items():
        (root / name).write_text(text)
        with (root / name).with_name("__init__.py").open("a") as file:
            file.write(f"\nfrom {name.rpartition('/')[0].replace('/', '.')} import mine\n")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (root / "data" / split).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(rng.integers(0, 255, (80, 120, 3), np.uint8)).save(root / "data" / split / f"{number}.png")
            (root / "data" / split / f"{number}.txt").write_text("10,10,110,12,108,60,12,58\n")
    return root


def run(root: Path, *command: object, code: int = 0) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout + done.stderr


MINE = """
model["backbone"] = dict(_delete_=True, type="Mine", width=4)
data["train"]["type"] = "Mine"
data["test"] = None
"""


def test_all_three_in_a_training(checkout):
    text = SMALL_CONFIG.format(root=ROOT.as_posix(), data="data", depth=18) + MINE
    (checkout / "teacher.py").write_text(text)
    entry = dict(config="teacher.py", checkpoint="runs/teacher/checkpoint_last.pth.tar")
    distiller = f'distiller = dict(type="FeatureMAE", teachers=[{entry!r}], weight=2.0, teacher_weights=[0.5])\n'
    (checkout / "student.py").write_text(text + distiller)
    run(checkout, "train.py", "teacher.py", "--work-dir", "runs/teacher", "--cfg-options", "train_cfg.epoch=1")
    run(checkout, "train.py", "student.py", "--work-dir", "runs/student", "--cfg-options", "train_cfg.epoch=1")
    [[names, values]] = [csv.read_text().splitlines()[:2] for csv in checkout.glob("runs/student/logs/*/metrics.csv")]
    assert float(dict(zip(names.split(","), values.split(",")))["loss/feature"]) > 0
    line = run(checkout, "train.py", "student.py", "--cfg-options", "distiller.wieght=1", code=2)
    assert "unknown key 'distiller.wieght'; did you mean 'weight'?" in line
