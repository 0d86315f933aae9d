"""What programs say on a terminal: names from elsewhere cannot clear it, colour it or be read wrongly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import run_script
from stage_configs import SHAPES, write_configs

from dataset.synthetic.shape_set import write_coco
from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector, save_checkpoint
from errors import InputError, exit_code, printable

CLEAR, TURN, NO_TEXT = "\x1b[2J", "\u202e", "\udce9"


def test_printable_by_hand():
    assert printable(f"a{CLEAR}b\rc\x07{TURN}d\x9bé漢{NO_TEXT}") == r"a\x1b[2Jb\rc\x07\u202ed\x9bé漢\udce9"
    assert printable("two\nlines\twith a tab, عربى and 👩‍🔬") == "two\nlines\twith a tab, عربى and 👩‍🔬"


def test_the_line_of_an_error(capsys):
    def fails():
        raise InputError(f"{CLEAR}.txt: is empty")

    assert exit_code(fails) == 2
    assert capsys.readouterr().err == "error: \\x1b[2J.txt: is empty\n"


def refused(output: str) -> None:
    assert CLEAR not in output and TURN not in output and NO_TEXT not in output


@pytest.mark.skipif(os.name != "posix", reason="no such names on Windows")
def test_files_and_checkpoints_of_such_names(configs, ctw_root, tmp_path):
    """An image, labels without one, checkpoints of which one is damaged: what is said names them."""
    data = shutil.copytree(ctw_root, tmp_path / "data")
    image = sorted((data / "train" / "text_image").iterdir())[0]
    label = data / "train" / "text_label_curve" / f"{image.stem}.txt"
    bad = f"x{CLEAR}{TURN}"
    image.rename(image.with_name(f"{bad}{image.suffix}"))
    label.rename(label.with_name(f"{bad}.txt"))
    (data / "train" / "text_label_curve" / f"{bad}2.txt").write_text("")
    options = ["--work-dir", tmp_path / "run", "--max-steps", 1, "--cfg-options", f"data.root={data}"]
    output = run_script("train.py", configs["student"], *options, "train_cfg.val_interval=0")
    refused(output)
    assert r"x\x1b[2J\u202e2.txt" in output
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    shutil.copy(tmp_path / "run" / "checkpoint_last.pth.tar", folder / f"{bad}.pth.tar")
    (folder / f"b{bad}.pth.tar").write_bytes(b"no checkpoint")
    output = run_script("batch_eval.py", configs["student"], folder)
    refused(output)
    assert r"x\x1b[2J\u202e.pth.tar hmean" in output and r"bx\x1b[2J\u202e.pth.tar skipped" in output


def test_classes_of_such_names(tmp_path):
    root = tmp_path / "shapes"
    write_coco(root, train=2, val=2, size=(64, 64), seed=0)
    content = json.loads((root / SHAPES["test"][0]).read_text())
    content["categories"][0]["name"] = CLEAR
    (root / SHAPES["test"][0]).write_text(json.dumps(content))
    config = write_configs(tmp_path, {**SHAPES, "root": str(root)})["faster"]
    cfg = load_experiment(config)
    names = [category["name"] for category in content["categories"]]
    checkpoint = tmp_path / "checkpoint_last.pth.tar"
    torch.manual_seed(0)
    save_checkpoint(checkpoint, new_detector(cfg.model).state_dict(), cfg.config, 1, {}, names)
    output = run_script("test.py", config, checkpoint, "--work-dir", tmp_path / "run")
    refused(output)
    assert r"\x1b[2J" in output


def test_a_stdout_that_knows_no_such_letters(tmp_path):
    """With PYTHONIOENCODING=ascii a name with an accent is an escape, not a traceback."""
    program = "from errors import say; say('caf\\u00e9 ' + chr(0x6f22))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "caf\\xe9 \\u6f22\n")
