"""What the learners of a study cost."""

import json
import sys

import pytest
import torch
from conftest import ROOT, run_script

sys.path.insert(0, str(ROOT / "benchmarks"))

from gain_learners import Learner
from gain_report import ALONE
from learner_steps import step_of, table

from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector, save_checkpoint


@pytest.fixture
def teacher(configs, tmp_path):
    cfg, path = load_experiment(configs["teacher"]), tmp_path / "teacher.pth.tar"
    save_checkpoint(path, new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    return path


def test_every_learner_is_timed_beside_the_student_alone(configs, teacher, tmp_path):
    written, threads = tmp_path / "steps.json", torch.get_num_threads()
    learners = [configs["distill"], f"{configs['distill']}:type='MutualDistiller'"]
    try:
        printed = run_script(
            *("benchmarks/learner_steps.py", *learners, "--teacher", teacher, "--rounds", 2, "--json", written),
            *("--cfg-options", "data.batch_size=2"),
        )
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(written.read_text())["rows"]
    assert [row["learner"] for row in rows] == [ALONE, "distill", "distill type=MutualDistiller"]
    assert rows[0]["spread"] == [1.0, 1.0] and all(row["ratio"] > 0 for row in rows)
    assert printed.endswith(table(rows) + "\n")


def test_a_step_trains_the_student_with_the_terms_of_the_learner(configs, teacher):
    options = ["data.batch_size=2", "train_cfg.distillation_warmup=0"]
    whole, nothing = (
        step_of(Learner.parse(f"{configs['distill']}:weight={weight}", options), teacher) for weight in (1e3, 0)
    )
    losses = [nothing() for _ in range(6)]
    assert whole() > losses[0]  # the same student on the same batch, with what the teacher adds
    assert losses[-1] < losses[0]


def test_the_page_has_the_file():
    rows = json.loads((ROOT / "benchmarks/results/learner_steps.json").read_text())["rows"]
    assert f"<!-- learner_steps -->\n{table(rows)}\n" in (ROOT / "docs/results.md").read_text()
    listed = (ROOT / "benchmarks/studies/light_s_short.txt").read_text().split()
    assert [row["learner"] for row in rows] == [ALONE, *(Learner.parse(text).name for text in listed)]
