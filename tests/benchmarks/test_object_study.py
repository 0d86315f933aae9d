"""A study of object detectors: several teachers, their class centres, and what is measured."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

sys.path.insert(0, str(ROOT / "benchmarks"))

import gain_measure
from gain_report import ALONE, Run, gain, headline, scores_of, table
from gain_study import LAST, Study, described

from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector, save_checkpoint
from engine.training.stages import centers_path, features_path
from errors import InputError
from models.weights import read_checkpoint

MULTINECK, FGD = "config/demo_multineck/distill.py", "config/study/shapes_fgd.py"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A root of six small images."""
    root = tmp_path_factory.mktemp("study") / "shapes"
    run_script("tools/make_synthetic_coco.py", root, "--train", 8, "--val", 3, "--size", "64x64", "--style", "easy")
    return root


def test_teachers_of_all_learners_are_trained_once(shapes, tmp_path):
    study = Study([FGD, MULTINECK], tmp_path / "out", "32", "cpu", options=[f"data.root={shapes}"])
    names = ["teacher 1", "teacher 2", ALONE, "shapes_fgd", "distill"]
    assert [learner.name for learner in study.everything] == names
    one, two = study.taught_by.learners  # in the order in which they are named: the demo's second is the first here
    assert [learner.cfg["model"]["heads"]["type"] for learner in (one, two)] == ["CascadeHeads", "FasterHeads"]
    assert study.taught_by.of(study.learners[0]) == [one] and study.taught_by.of(study.learners[1]) == [two, one]
    assert {learner.cfg["data"]["root"] for learner in study.everything} == {str(shapes)}
    assert study.described is study.learners[1]
    with pytest.raises(InputError, match="--teacher is one, these learners have 2"):
        Study([MULTINECK], tmp_path / "other", "32", "cpu", trained=tmp_path / "file")
    changed = f"{MULTINECK}:distiller.teachers.0.config='config/demo_multineck/teacher2.py'"
    with pytest.raises(InputError, match="has class centres of other teachers than distill"):
        Study([MULTINECK, changed], tmp_path / "third", "32", "cpu")


def test_options_of_teachers(shapes, tmp_path):
    options, of_teachers = [f"data.root={shapes}"], ["train_cfg.epoch=9", "data.test.short_side=96"]
    with pytest.raises(InputError, match=r"scored by another data\.test"):
        Study([FGD], tmp_path / "first", "32", "cpu", options=options, of_teachers=of_teachers)
    options.append("data.test.short_side=96")
    study = Study([FGD, MULTINECK], tmp_path / "out", "32", "cpu", options=options, of_teachers=of_teachers)
    epochs = {learner.name: learner.cfg["train_cfg"]["epoch"] for learner in study.everything}
    assert epochs == {"teacher 1": 9, "teacher 2": 9, ALONE: 3, "shapes_fgd": 3, "distill": 3}
    other = Study([FGD, MULTINECK], tmp_path / "other", "32", "cpu", options=options, of_teachers=of_teachers[1:])
    ours, theirs = ([found.identity(part, 0) for part in found.everything] for found in (study, other))
    assert [one == two for one, two in zip(ours, theirs)] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("option", "config"), [("--teacher-options", "teacher2.py"), ("--cfg-options", "shapes_fgd.py")]
)
def test_the_command_line_gives_options_to_whom_they_are_for(tmp_path, option, config):
    command = ["benchmarks/distillation_gain.py", FGD, "--out", tmp_path, option, "train_cfg.epoch=0"]
    assert f"{config}: train_cfg.epoch" in run_script(*command, code=2)


def test_an_object_detector_is_measured_as_by_the_test_script(shapes, tmp_path):
    root = f"data.root={shapes}"
    cfg = load_experiment("config/demo_multineck/student.py", [root])
    checkpoint = tmp_path / LAST
    detector = new_detector(cfg.model)
    detector.classes = tuple(cfg.task.test_set(cfg.data.test, cfg.test_cfg).classes)
    save_checkpoint(checkpoint, detector.state_dict(), cfg.config, 1, {})
    found = gain_measure.measure(cfg, checkpoint, "32", "cpu")
    options = ["--cfg-options", root, f"test_cfg.result_path={tmp_path / 'detections.json'}"]
    run_script(
        "test.py", cfg.path, checkpoint, "--precision", "32", "--device", "cpu", "--work-dir", tmp_path, *options
    )
    expected = json.loads((tmp_path / "results.json").read_text())
    assert found["scores"] == {name: expected[name] for name in ("ap", "ap50", "ap75")}
    assert scores_of(found) == (found["scores"], [])


def test_objects_are_compared_by_ap():
    scores = {ALONE: (0.2, 0.3), "fgd": (0.4, 0.42)}
    runs = [Run(name, seed, 60.0, {"ap": ap, "ap50": 0.5}) for name, of in scores.items() for seed, ap in enumerate(of)]
    assert headline(runs[0].scores) == "ap"
    assert gain(runs[2:], runs[:2]).differences == pytest.approx([20, 12])
    lines = table(runs).splitlines()
    assert lines[0].startswith("| learner | seeds | AP, % | AP50 | minus student alone |")
    assert lines[3].startswith("| fgd | 2 | 41.00 ± 1.41 | 50.00 ± 0.00 | +16.00 (")


@pytest.mark.slow
def test_a_study_of_object_detectors(shapes, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "benchmarks/distillation_gain.py", MULTINECK, FGD, "--seeds", "1"]
    command += ["--precision", "32", "--device", "cpu", "--out", out, "--cfg-options", f"data.root={shapes}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "results.json").read_text())
    runs = [run["learner"] for run in results["runs"]]
    assert runs == ["teacher 1", "teacher 2", ALONE, "distill", "shapes_fgd"]
    assert len(results["teachers"]) == 2 and "AP, %" in (out / "results.md").read_text()
    entries = read_checkpoint(out / "distill" / "seed_0" / LAST)["config"]["distiller"]["teachers"]
    for number, entry in enumerate(entries, 1):
        assert entry["checkpoint"] == str(out / f"teacher_{number}" / "seed_0" / LAST)
        assert entry["centers"] == str(centers_path(features_path(described(out, 0), number)))
    [entry] = read_checkpoint(out / "shapes_fgd" / "seed_0" / LAST)["config"]["distiller"]["teachers"]
    assert entry["checkpoint"] == str(out / "teacher_2" / "seed_0" / LAST)
    file = tmp_path / "gradients.json"
    command = ["benchmarks/term_gradients.py", MULTINECK, FGD, "--study", out, "--batches", "1", "--json", file]
    command += ["--cfg-options", f"data.root={shapes}"]
    printed = run_script(*command)
    ratios = json.loads(file.read_text())["ratios"]
    assert ratios.keys() == {"distill", "shapes_fgd"}
    for moment in ("start", "end"):
        assert len(ratios["distill"][moment]) == (2 * 5 + 4) * 2 and len(ratios["shapes_fgd"][moment]) == 4 * 2
    assert "| shapes_fgd | fgd_foreground, neck |" in printed
