"""The study of what distillation buys: its runs, its arithmetic; and that the documents carry the figures of files."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import precision
from distillation_gain import Learner, Study
from gain_report import ALONE, TEACHER, Run, read_runs, table, write_plot

from errors import InputError

HEADLINE = (TEACHER, ALONE, "kkd", "cwd feature_weight=0 response_weight=3")


def run_of(learner: str, seed: int, hmean: float, seconds: float = 60.0) -> Run:
    return Run(learner, seed, seconds, {"precision": 0.5, "recall": 0.5, "hmean": hmean}, [(4, 0.1), (8, hmean)])


def cells(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


def test_table_of_hand_computed_scores():
    scores = {TEACHER: (0.80, 0.90), ALONE: (0.60, 0.70), "kkd": (0.70, 0.72), "worse": (0.55, 0.71)}
    runs = [run_of(name, seed, value) for name, values in scores.items() for seed, value in enumerate(values)]
    rows = cells(table(runs[::-1][:4] + runs[:4]))  # in any order
    assert rows[TEACHER] == ["2", "85.00 ± 7.07", "+20.00 ± 0.00", "2 of 2", "", "1.0"]
    assert rows[ALONE] == ["2", "65.00 ± 7.07", "", "", "", "1.0"]
    assert rows["kkd"] == ["2", "71.00 ± 1.41", "+6.00 ± 5.66", "2 of 2", "30 %", "1.0"]  # 10 and 2 of a gap of 20
    assert rows["worse"] == ["2", "63.00 ± 11.31", "-2.00 ± 4.24", "1 of 2", "-10 %", "1.0"]


def test_differences_are_of_common_seeds_and_shares_of_means():
    runs = [run_of(ALONE, seed, value) for seed, value in enumerate((0.5, 0.6, 0.7))]
    rows = cells(table([run_of(TEACHER, 0, 0.8), *runs, run_of("kkd", 0, 0.6), run_of("kkd", 1, 0.8)]))
    assert rows[TEACHER] == ["1", "80.00", "+30.00", "1 of 1", "", "1.0"]
    assert rows["kkd"][2:5] == ["+15.00 ± 7.07", "2 of 2", "50 %"]  # 10 and 20; 70 between 60 and 80


def test_without_a_gap_no_share_of_it():
    rows = cells(table([run_of(name, 0, 0.5) for name in (TEACHER, ALONE, "kkd")]))
    assert rows["kkd"] == ["1", "50.00", "+0.00", "0 of 1", "", "1.0"]


@pytest.mark.parametrize(
    "changes, name, folder, expected",
    [
        ("", "distill", "distill", {}),
        (":weight=10", "distill weight=10", "distill_weight=10", dict(weight=10)),
        (":mask='text',divisor=2", "distill mask=text divisor=2", "distill_mask=text_divisor=2", dict(divisor=2)),
        (":teacher_weights=[1,0],weight=2", "distill teacher_weights=[1,0] weight=2", None, dict(weight=2)),
    ],
)
def test_learners_as_on_the_command_line(configs, changes, name, folder, expected):
    learner = Learner.parse(f"{configs['distill']}{changes}")
    assert learner.name == name and learner.folder == (folder or learner.folder)
    assert expected.items() <= learner.cfg["distiller"].items()
    assert learner.seeds is None and Learner.parse(f"5*{configs['distill']}{changes}") == replace(learner, seeds=5)
    assert ("[" in changes) == (learner.cfg["distiller"].get("teacher_weights") == [1, 0])


@pytest.fixture
def learners(configs, tmp_path):
    """Paths of two distillation configs that may be compared: one epoch, KKD and CWD."""
    text = configs["distill"].read_text() + "train_cfg |= dict(epoch=1)\n"
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(text)
    second.write_text(text.replace("KernelMaskDistiller", "ChannelWiseDistiller"))
    return first, second


def study(texts, out):
    return Study([str(text) for text in texts], out, "32", "cpu", 1)


def test_only_students_that_can_be_compared_are_taken(learners, configs, tmp_path):
    first, second = learners
    with pytest.raises(InputError, match="student: has no distiller"):
        study([configs["student"]], tmp_path / "out")
    second.write_text(second.read_text() + "train_cfg |= dict(lr=0.5)\n")
    with pytest.raises(InputError, match="second: another 'train_cfg' than first"):
        study([first, second], tmp_path / "out")
    second.write_text(
        first.read_text() + 'distiller["teachers"][0]["config"] = distiller["teachers"][0]["config"] * 2\n'
    )
    with pytest.raises(InputError, match="one teacher"):
        study([first, second], tmp_path / "out")
    other = tmp_path / "other_teacher.py"
    other.write_text(configs["teacher"].read_text() + "test_cfg |= dict(min_score=0.5)\n")
    second.write_text(first.read_text().replace(configs["teacher"].as_posix(), other.as_posix()))
    with pytest.raises(InputError, match="scored by another test_cfg"):
        study([second], tmp_path / "out")
    with pytest.raises(InputError, match="two learners would have the name 'first'"):
        study([first, first], tmp_path / "out")
    with pytest.raises(InputError, match=r"unknown key 'distiller\.wieght'"):
        study([f"{first}:wieght=1"], tmp_path / "out")


def test_a_folder_takes_one_study_at_a_time(learners, tmp_path):
    running = study(learners, tmp_path / "out")
    with pytest.raises(InputError, match="out: a study is running there"):
        study(learners, tmp_path / "out")
    running.lock.release()  # as the end of its process does
    study(learners, tmp_path / "out")


@pytest.mark.slow
def test_a_study_runs_everything_once(learners, tmp_path):
    first, second = learners
    out = tmp_path / "a study"
    command = [sys.executable, ROOT / "benchmarks/distillation_gain.py", first, f"2*{second}:temperature=2.0"]
    command += ["--seeds", "1", "--teachers", "1", "--jobs", "2", "--precision", "32", "--out", out]

    def call(code: int = 0) -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    printed = call()
    results = json.loads((out / "results.json").read_text())
    names = [TEACHER, ALONE, ALONE, "first", "second temperature=2.0", "second temperature=2.0"]
    assert [run["learner"] for run in results["runs"]] == names
    runs = {run["learner"]: run for run in results["runs"] if run["seed"] == 0}
    assert printed.endswith((out / "results.md").read_text())
    assert cells((out / "results.md").read_text()).keys() == runs.keys()
    assert (out / "curves.png").stat().st_size > 5000
    folders = {name: out / name.replace(" ", "_") / "seed_0" for name in runs}
    assert len({run["revision"] for run in runs.values()}) == 1
    saved = {
        name: torch.load(folder / "checkpoint_last.pth.tar", weights_only=True) for name, folder in folders.items()
    }
    for name, run in runs.items():
        assert run["scores"]["hmean"] == saved[name]["metrics"]["hmean"] == pytest.approx(run["curve"][-1][1])
        assert [step for step, _ in run["curve"]] == ([3, 6] if name == TEACHER else [3])
    assert "distiller" not in saved[ALONE]["config"]
    distiller = saved["second temperature=2.0"]["config"]["distiller"]
    assert (distiller["type"], distiller["temperature"]) == ("ChannelWiseDistiller", 2.0)
    assert distiller["teachers"][0]["checkpoint"] == str(folders[TEACHER] / "checkpoint_last.pth.tar")
    last = out / "second_temperature=2.0" / "seed_1" / "checkpoint_last.pth.tar"
    other = torch.load(last, weights_only=True)["config"]  # of another seed, from the only teacher
    assert other["distiller"] == distiller and other["train_cfg"]["seed"] == 1
    assert {name: saved[name]["config"]["train_cfg"]["seed"] for name in saved} == dict.fromkeys(saved, 0)

    times = {name: (folder / "run.done.json").stat().st_mtime_ns for name, folder in folders.items()}
    shutil.rmtree(folders["first"])  # as if it had never run
    call()
    again = {name: (folder / "run.done.json").stat().st_mtime_ns for name, folder in folders.items()}
    assert [name for name in times if times[name] != again[name]] == ["first"]
    repeated = json.loads((out / "results.json").read_text())
    assert [run["scores"] for run in repeated["runs"]] == [run["scores"] for run in results["runs"]]


def test_plot_of_any_number_of_learners(tmp_path):
    for count in (1, 5):
        names = [TEACHER, ALONE, *(f"learner {i}" for i in range(count))]
        write_plot([run_of(name, seed, 0.1 * seed) for name in names for seed in range(3)], tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 5000


@pytest.mark.parametrize("study", ["synthetic", "icdar2015"])
def test_the_page_of_results_carries_the_figures_of_the_files(study):
    runs = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    listed = [Learner.parse(text).name for text in (ROOT / f"benchmarks/studies/{study}.txt").read_text().split()]
    assert list(dict.fromkeys(run.learner for run in runs)) == [TEACHER, ALONE, *listed]
    lines = table(runs).splitlines()
    page = (ROOT / "docs/results.md").read_text().splitlines()
    assert [line for line in lines if line not in page] == []


def test_the_headline_of_the_readme_is_that_of_the_study():
    rows = cells(table(read_runs(ROOT / "benchmarks/results/gain_synthetic.json")))
    readme = " ".join((ROOT / "README.md").read_text().split())
    for learner in HEADLINE:
        assert f"{rows[learner][1]}" in readme, learner


def test_gradients_on_the_page_are_those_of_the_file():
    ratios = json.loads((ROOT / "benchmarks/results/gain_gradients.json").read_text())["ratios"]
    page = (ROOT / "docs/results.md").read_text().splitlines()
    for learner, stages in ratios.items():
        for term, value in stages["start"].items():
            assert f"| {learner} | {term} | {value:.2g} | {stages['end'][term]:.2g} |" in page


@pytest.mark.parametrize("name", ["precision", "precision_small"])
def test_differences_between_precisions_on_the_page_are_those_of_the_files(name):
    content = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    page = (ROOT / "docs/performance.md").read_text()
    assert precision.table(content["losses"], content["options"]["last"]) in page
    if precision.SAME_WEIGHTS in content["losses"]:
        furthest = precision.largest_step(content["losses"]).split("than ")[1]
        assert f"within {furthest} in each of {np.size(content['losses'][precision.BASE])} steps" in page
