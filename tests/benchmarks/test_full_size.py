"""The published recipe in a given time: its plan, its table, and the whole in miniature."""

import argparse
import json
import subprocess
import sys

import pytest
from conftest import ROOT
from icdar_files import QUAD, layout

sys.path.insert(0, str(ROOT / "benchmarks"))

from full_size import ALONE, CONFIGS, DISTILLED, TEACHER, FullSize, epochs, table

from errors import InputError


def timed(teacher: float, alone: float, distilled: float, start: float = 0.0) -> dict:
    seconds = {TEACHER: teacher, ALONE: alone, DISTILLED: distilled}
    return {
        name: {
            "seconds_per_step": value, "start_seconds": start, "steps_per_epoch": 10, "images_per_step": 4,
            "tflop_per_step": 0.5,
        }
        for name, value in seconds.items()
    }  # fmt: skip


def test_half_of_the_time_is_the_teachers_and_students_have_equal_steps():
    # 1000 s, 90 % of them usable: 450 s are 22 epochs of 20 s, and 30 of 5 + 10 s.
    assert epochs(timed(2, 0.5, 1), 1000) == {TEACHER: 22, ALONE: 30, DISTILLED: 30}
    assert epochs(timed(2, 0.5, 1, start=100), 1000) == {TEACHER: 15, ALONE: 20, DISTILLED: 20}


def test_a_time_that_is_too_short_is_refused_with_the_one_that_is_needed():
    needed = 2 * 20 / 0.9
    with pytest.raises(InputError, match=f"0.5 minutes are left .* takes {needed / 60:.1f}"):
        epochs(timed(2, 0.5, 1), 30)
    assert epochs(timed(2, 0.5, 1), needed + 1e-6)[TEACHER] == 1


def test_the_table_of_hand_computed_figures():
    runs = [{"name": TEACHER, "epochs": 3, "steps": 30, "seconds": 90.0, "hmean": 0.4321}]
    text = table({"runs": runs, "timed": timed(2, 1, 1), "peak_tflops": 1.0})
    assert text.splitlines()[2] == "| teacher | 3 | 30 | 2.0 | 2000 | 25% | 43.21 | 1.5 |"


def test_a_training_is_timed_as_the_scripts_train(tmp_path, monkeypatch):
    root = layout(tmp_path / "data", {f"img_{number}": f"{QUAD},word\n" for number in range(1, 4)})
    monkeypatch.setattr("full_size.STEPS", 1)
    monkeypatch.setattr("full_size.WARM_UP", 1)
    args = argparse.Namespace(
        out=tmp_path / "out", root=root, size=64, batch_size=2, workers=0, device="cpu", precision="32",
        cfg_options=["data.train.short_size=64"], teacher_weights=None, student_weights=None,
    )  # fmt: skip
    study = FullSize(args)
    found = study.timed()
    assert [*found] == [*CONFIGS] and {row["images_per_step"] for row in found.values()} == {2}
    assert all(row["seconds_per_step"] > 0 and row["tflop_per_step"] > 0 for row in found.values())
    assert found[TEACHER]["tflop_per_step"] > found[ALONE]["tflop_per_step"]


@pytest.mark.slow
def test_the_whole_in_miniature(tmp_path):
    labels = {f"img_{number}": f"{QUAD},word\n" for number in range(1, 31)}
    root, out = layout(tmp_path / "data", labels), tmp_path / "out"
    command = ["sh", ROOT / "benchmarks/full_size.sh", "4", "--root", root, "--out", out, "--size", "64"]
    command += ["--batch-size", "9", "--workers", "0", "--precision", "32", "--cfg-options"]
    command += ["data.train.short_size=64", "data.test.short_size=64"]

    def call(code: int = 0) -> str:
        environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    printed = call()
    results = json.loads((out / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == [*CONFIGS]
    assert results["epochs"][ALONE] == results["epochs"][DISTILLED] >= 1
    assert sum(run["seconds"] for run in results["runs"]) < 4 * 60
    assert (out / "results.md").read_text() in printed
    times = {name: (out / name / "checkpoint_last.pth.tar").stat().st_mtime_ns for name in CONFIGS}
    call()
    assert times == {name: (out / name / "checkpoint_last.pth.tar").stat().st_mtime_ns for name in CONFIGS}
    command[2] = "5"
    assert "was made with other options" in call(code=2)
