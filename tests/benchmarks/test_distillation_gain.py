"""The study of what distillation buys: its runs."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from tables import cells

sys.path.insert(0, str(ROOT / "benchmarks"))

import gain_measure
from gain_learners import Learner
from gain_report import ALONE, TEACHER, Run, scores_of
from gain_study import Study

from dataset.text.targets import make_targets
from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.training.checkpoint import load_detector, new_detector, save_checkpoint
from errors import InputError
from models.weights import read_checkpoint


@pytest.fixture(scope="module")
def finding(configs, tmp_path_factory):
    """An untrained detector that finds regions of scores from 0.5 to 1, and what gain_measure.py says of it."""
    checkpoint = tmp_path_factory.mktemp("finding") / "checkpoint.pth.tar"
    cfg = load_experiment(configs["student"], ["test_cfg.min_area=0"])
    torch.manual_seed(1)
    detector = new_detector(cfg.model)
    save_checkpoint(checkpoint, detector.state_dict(), cfg.config, 1, {})
    return cfg, checkpoint, gain_measure.measure(cfg, checkpoint, "32", "cpu")


def test_counts_are_those_of_the_test_script(finding, tmp_path):
    cfg, checkpoint, found = finding
    detector, _ = Evaluator.of(cfg, checkpoint, torch.device("cpu"), "32", 1)
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    assert list(found["counts"]) == [record.name for record in (dataset.parser[i] for i in range(len(dataset)))]
    for place, threshold in ((0, 0.0), (30, 0.6), (38, 0.76)):
        assert found["thresholds"][place] == threshold
        detector.settings = replace(cfg.test_cfg, min_score=threshold)
        summary = detector.evaluate(dataset, detector.predict(dataset), tmp_path / f"results{place}")
        for name, row in summary["per_image"].items():
            wanted = [row["ground_truth"], row["predictions"], row["true_positives"], row["true_positives"]]
            assert found["counts"][name][0][place] == wanted


def test_pixel_ap_is_that_of_sorted_pixels(finding):
    """Against a loop over the images, with targets drawn by the training pipeline at the size of the test."""
    cfg, checkpoint, found = finding
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    detector, _ = load_detector(cfg.model, checkpoint)
    pixels = []
    for index in range(len(dataset)):
        sample = dataset[index]
        h, w = sample.image.shape[-2:]
        scale = np.array([w / sample.original_size[1], h / sample.original_size[0]])
        polygons = [(p * scale).astype(np.float32) for p in sample.record.polygons]
        targets = make_targets(polygons, sample.record.ignore, (h, w), cfg.data.train.transform.ratios)
        with torch.no_grad():
            maps = detector(sample.image[None]).logits[0].sigmoid().numpy()
        for y, x in np.ndindex(h // 4, w // 4):
            block = np.s_[4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            if targets.training_mask[block].all():
                pixels.append((*maps[:2, y, x], targets.text[block].mean(), targets.kernels[0][block].mean()))
    pixels = np.array(pixels)
    for place, name in enumerate(("text", "kernel")):
        order = np.argsort(-pixels[:, place], kind="stable")
        label = pixels[order, 2 + place] >= 0.5
        precision = np.cumsum(label) / np.arange(1, len(label) + 1)
        assert found["pixel_ap"][name] == pytest.approx((precision * label).sum() / label.sum(), rel=1e-3)


@pytest.mark.parametrize(
    "changes, name, folder, expected",
    [
        ("", "distill", "distill", {}),
        (":weight=10", "distill weight=10", "distill_weight=10", dict(weight=10)),
        (":mask='text',divisor=2", "distill mask=text divisor=2", "distill_mask=text_divisor=2", dict(divisor=2)),
        (":weight=2,train_cfg.ema=0.5", "distill weight=2 train_cfg.ema=0.5", None, dict(weight=2)),
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
        study([first, configs["student"]], tmp_path / "out")
    second.write_text(second.read_text() + "train_cfg |= dict(lr=0.5)\n")
    with pytest.raises(InputError, match="second: another 'train_cfg' than first"):
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


def test_what_a_study_trains(learners, configs, tmp_path):
    """Options reach the students, changes one of them; the control is the student alone with another loss."""
    first, second = learners
    alone, mutual = tmp_path / "alone.py", tmp_path / "mutual.py"
    alone.write_text(first.read_text() + "del distiller\n")
    mutual.write_text(first.read_text() + "distiller = dict(type='MutualDistiller')\n")
    texts = [mutual, f"{second}:train_cfg.lr=0.002", f"{alone}:train_cfg.ema=0.9", f"{alone}:loss.dense_weight=0.5"]
    found = Study([str(text) for text in texts], tmp_path / "out", "32", "cpu", options=["data.root=elsewhere"])
    assert found.control == "alone loss.dense_weight=0.5"
    assert [learner.name for learner in found.everything[:3]] == [TEACHER, ALONE, "mutual"]
    assert {learner.cfg["data"]["root"] for learner in found.everything} == {"elsewhere"}
    assert found.taught_by.learners[0].cfg["model"] == load_experiment(configs["teacher"]).config["model"]
    assert "distiller" not in found.alone.cfg and found.alone.cfg["loss"] == load_experiment(first).config["loss"]
    own = found.alone.cfg
    for learner, section, key, value in zip(
        found.learners[1:], ("train_cfg", "train_cfg", "loss"), ("lr", "ema", "dense_weight"), (0.002, 0.9, 0.5)
    ):
        assert learner.cfg[section] == own[section] | {key: value}
        assert all(learner.cfg[name] == own[name] for name in ("model", "loss", "train_cfg") if name != section)
    assert Study([str(mutual)], tmp_path / "other", "32", "cpu").taught_by.learners == []


def test_a_folder_takes_one_study_at_a_time(learners, tmp_path):
    running = study(learners, tmp_path / "out")
    with pytest.raises(InputError, match="out: a study is running there"):
        study(learners, tmp_path / "out")
    running.lock.release()  # as the end of its process does
    study(learners, tmp_path / "out")


def test_runs_of_another_machine_are_known_by_what_they_depend_on(learners, tmp_path):
    """Not by where data and teacher lie, but by the files there, the seed, and the config of learner and teacher."""
    first, second = map(str, learners)
    data, teacher, other = tmp_path / "data", tmp_path / "teacher.pth.tar", tmp_path / "other.pth.tar"
    shutil.copytree(load_experiment(first).data.root, data)
    teacher.write_bytes(b"weights")

    def made(name: str, *texts: str, root: Path | None = None, teacher: Path | None = teacher, **options) -> Study:
        place = [] if root is None else [f"data.root={root}"]
        return Study(texts, tmp_path / name, "32", "cpu", trained=teacher, options=place, **options)

    def identities(of: Study, seed: int = 0) -> list[str]:
        return [of.identity(learner, seed) for learner in of.everything]

    here = made("here", first, second)
    assert len({*identities(here), *identities(here, seed=1)}) == 8
    known = [Run("elsewhere", 0, 5.0, {"hmean": 0.1 * i}, identity=key) for i, key in enumerate(identities(here))]
    shutil.copy(teacher, other)
    there = made("there", first, second, root=data, teacher=other, known=known)
    runs, failures = there.run(seeds=1, jobs=1)
    assert not failures and [path for path in (tmp_path / "there").rglob("*") if path.is_dir()] == []
    assert [(run.learner, run.seed, run.scores) for run in runs] == [
        (name, 0, known[i].scores) for i, name in enumerate((TEACHER, ALONE, "first", "second"))
    ]

    # The same by the command: everything is in the file, so nothing is trained, and the table is that of the file.
    there.lock.release()
    results = tmp_path / "known.json"
    results.write_text(json.dumps({"runs": [asdict(run) for run in known]}))
    command = ["benchmarks/distillation_gain.py", first, second, "--seeds", 1, "--precision", "32", "--device", "cpu"]
    command += ["--teacher", other, "--known", results, "--out", tmp_path / "by command"]
    printed = run_script(*command, "--cfg-options", f"data.root={data}")
    assert cells(printed.strip())["second"][1] == "30.00" and not list((tmp_path / "by command").rglob("seed_0"))

    expected = identities(here)
    changed = made("changed", f"{first}:weight=2", second)
    assert [a == b for a, b in zip(identities(changed), expected)] == [True, True, False, True]
    other.write_bytes(b"other weights")
    assert [a == b for a, b in zip(identities(there), expected)] == [False, True, False, False]
    (data / "more.txt").write_text("")
    assert not set(identities(made("more", first, second, root=data))) & set(expected)
    # A teacher that must be trained has a file only where it was trained.
    untrained = made("untrained", first, teacher=None)
    untrained.known = dict.fromkeys(identities(untrained), known[0])
    untrained._train = lambda learner, *_: pytest.fail(f"{learner.name} is run")
    with pytest.raises(pytest.fail.Exception, match="teacher is run"):
        untrained.run(seeds=1, jobs=1)


@pytest.mark.slow
def test_a_study_of_a_trained_teacher_with_a_control(learners, configs, tmp_path):
    """Mutual learning needs no teacher; the control is the student alone with another loss; options reach students."""
    first, _ = learners
    mutual, out, teacher = tmp_path / "mutual.py", tmp_path / "out", tmp_path / "given.pth.tar"
    mutual.write_text(
        first.read_text().replace("KernelMaskDistiller", "MutualDistiller") + 'distiller["teachers"] = []\n'
    )
    cfg = load_experiment(configs["teacher"])
    save_checkpoint(teacher, new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    command = [sys.executable, ROOT / "benchmarks/distillation_gain.py", mutual, f"{mutual}:train_cfg.lr=0.002", first]
    alone = tmp_path / "alone.py"
    alone.write_text(first.read_text() + "del distiller\n")
    command += [f"{alone}:loss.dense_weight=0.5", "--teacher", teacher, "--seeds", "1", "--precision", "32"]
    command += ["--out", out, "--cfg-options", "data.batch_size=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "results.json").read_text())
    runs = {run["learner"]: run for run in results["runs"]}
    names = ["mutual", "mutual train_cfg.lr=0.002", "first", "alone loss.dense_weight=0.5"]
    assert [*runs] == [TEACHER, ALONE, *names] and results["control"] == names[3]
    assert done.stdout.splitlines()[-8].count("minus control") == 1
    configs_of = {
        name: read_checkpoint(out / Learner(name, {}, {}).folder / "seed_0" / "checkpoint_last.pth.tar")["config"]
        for name in runs
        if name != TEACHER
    }
    assert {config["data"]["batch_size"] for config in configs_of.values()} == {3}
    assert {name for name, config in configs_of.items() if config["loss"].get("dense_weight")} == {names[3]}
    assert {name for name, config in configs_of.items() if config["train_cfg"]["lr"] == 0.002} == {names[1]}
    [entry] = configs_of["first"]["distiller"]["teachers"]
    assert entry["checkpoint"] == str(teacher) and "distiller" not in configs_of[ALONE]
    assert not (out / "teacher" / "seed_0" / "checkpoint_last.pth.tar").exists()


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
    assert (out / "differences.png").stat().st_size > 5000
    folders = {name: out / name.replace(" ", "_") / "seed_0" for name in runs}
    assert len({run["revision"] for run in runs.values()}) == 1
    saved = {
        name: torch.load(folder / "checkpoint_last.pth.tar", weights_only=True) for name, folder in folders.items()
    }
    for name, run in runs.items():
        found = json.loads((folders[name] / "measured.json").read_text())
        assert (run["scores"], run["counts"]) == scores_of(found) and len(run["counts"]) == 3
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
