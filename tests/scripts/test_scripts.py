"""The four scripts, one after the other, on a handful of synthetic images."""

import csv
import json

import pytest
import torch
from conftest import run_process, run_script

from models.weights import read_checkpoint


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work dir")


@pytest.fixture(scope="module")
def teacher(configs, work):
    run_script("train.py", configs["teacher"], "--work-dir", work / "teacher", "--cfg-options", "train_cfg.epoch=1")
    return work / "teacher" / "checkpoint_last.pth.tar"


@pytest.fixture(scope="module")
def student(configs, work, teacher):
    options = ["--checkpoint_t", teacher, "--end_epoch", 2, "--lr", 0.002, "--batch_size", 3]
    script = "knowledge_distillation_train.py"
    output = run_script(script, configs["distill"], *options, "--work-dir", work / "student", "--precision", "bf16")
    assert "eta" in output and "hmean" in output
    return work / "student"


def test_a_student_checkpoint_holds_the_student_its_config_and_scores(student):
    checkpoint = read_checkpoint(student / "checkpoint_last.pth.tar")
    assert checkpoint["epoch"] == 2
    assert checkpoint["config"]["train_cfg"]["lr"] == 0.002 and checkpoint["config"]["data"]["batch_size"] == 3
    assert {"precision", "recall", "hmean"} <= set(checkpoint["metrics"])
    assert not [key for key in checkpoint["state_dict"] if "teacher" in key or "learner" in key]
    names = {path.name for path in student.glob("checkpoint_*")}
    assert names == {f"checkpoint_{n}.pth.tar" for n in ("1ep", "2ep", "best", "last")}


def test_losses_and_scores_are_logged(student):
    with next(student.glob("logs/*/metrics.csv")).open() as file:
        columns = set(csv.DictReader(file).fieldnames)
    assert {"loss", "loss/text", "loss/kkd_feature", "metric/iou_text", "lr", "val/hmean"} <= columns
    assert list(student.glob("logs/*/events.out.tfevents.*"))


def test_test_py_writes_scores_result_files_and_pictures(configs, student, work):
    output = run_script(
        "test.py", configs["student"], student / "checkpoint_last.pth.tar", "--work-dir", work / "tested",
        "--vis", work / "pictures", "--report_speed",
    )  # fmt: skip
    results = json.loads((work / "tested" / "results.json").read_text())
    assert f"{results['hmean']:.4f}" in output
    steps = ["decode", "resize", "network", "post_processing", "write"]
    assert list(results["speed"]) == [*steps, "images_per_second", "images_per_second_in_turn"]
    assert all(0 < value < float("inf") and name in output for name, value in results["speed"].items())
    assert results["protocol"] == "ctw1500" and results["variant"] == "official" and results["epoch"] == 2
    assert sorted(p.stem for p in (work / "tested" / "submit_ctw").glob("*.txt")) == sorted(results["per_image"])
    assert len(list((work / "pictures").glob("*.jpg"))) == 3


def test_max_steps_of_test_py_takes_the_first_images(configs, student, tmp_path):
    checkpoint = student / "checkpoint_last.pth.tar"
    options = ["--max-steps", 2, "--batch-size", 2, "--cfg-options", "data.num_workers=1"]
    run_script("test.py", configs["student"], checkpoint, "--work-dir", tmp_path, *options)
    assert len(json.loads((tmp_path / "results.json").read_text())["per_image"]) == 2


def test_eval_of_the_result_files_agrees_with_test_py(configs, student, work, ctw_root):
    checkpoint = student / "checkpoint_last.pth.tar"
    run_script("test.py", configs["student"], checkpoint, "--work-dir", work / "again")
    gt = ctw_root / "test" / "text_label_curve"
    arguments = ["--gt", gt, "--pred", work / "again" / "submit_ctw", "--json", work / "scores.json"]
    run_script("-m", "eval", "ctw1500", *arguments)
    ours, theirs = (json.loads((work / f).read_text()) for f in ("again/results.json", "scores.json"))
    assert ours["per_image"] == theirs["per_image"]


def test_batch_eval_skips_what_is_broken_and_reuses_what_is_known(configs, student, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("checkpoint_2ep.pth.tar", "checkpoint_1ep.pth.tar"):
        (folder / name).write_bytes((student / name).read_bytes())
    (folder / "checkpoint_3ep.pth.tar").write_bytes(b"half a file")
    output = run_script("batch_eval.py", configs["student"], folder)
    assert "checkpoint_3ep.pth.tar skipped" in output and output.count("<- best") == 1
    assert output.index("checkpoint_1ep.pth.tar  ") < output.rindex("checkpoint_2ep.pth.tar  ")
    with (folder / "batch_eval" / "scores.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert (folder / "batch_eval" / "scores.png").stat().st_size > 1000
    assert run_script("batch_eval.py", configs["student"], folder).count("(already evaluated)") == 2
    changed = run_script("batch_eval.py", configs["student"], folder, "--cfg-options", "test_cfg.min_score=0.9")
    assert "(already evaluated)" not in changed


def test_a_folder_of_broken_checkpoints_is_an_error(configs, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    assert "none of 1 checkpoints can be evaluated" in run_script("batch_eval.py", configs["student"], tmp_path, code=2)


def test_two_processes_measure_the_network_that_is_saved(configs, work):
    options = ["test_cfg.min_score=0", "test_cfg.min_area=0"]
    common = ["--device", "cpu", "--devices", 2, "--cfg-options", "train_cfg.epoch=1", *options]
    run_process("train.py", configs["student"], "--work-dir", work / "two", *common)
    checkpoint = read_checkpoint(work / "two" / "checkpoint_best.pth.tar")
    assert all(torch.isfinite(v).all() for v in checkpoint["state_dict"].values())
    last = work / "two" / "checkpoint_last.pth.tar"
    run_script("test.py", configs["student"], last, "--work-dir", work / "two tested", "--cfg-options", *options)
    [tested] = (path for path in (work / "two tested").iterdir() if path.is_dir())
    found = [
        {path.name: path.read_text() for path in folder.iterdir()} for folder in (tested, work / "two/val_results")
    ]
    assert found[0] == found[1] and any(found[0].values())  # what was measured is what was saved
    again = ["train.py", configs["student"], "--work-dir", work / "two", *common, f"train_cfg.pretrain={last}"]
    assert "give another --work-dir" in run_script(*again, code=2)


def test_an_earlier_run_is_moved_aside_not_overwritten(configs, work):
    arguments = ["train.py", configs["student"], "--work-dir", work / "twice", "--max-steps", 1]
    run_script(*arguments)
    first = (work / "twice" / "checkpoint_last.pth.tar").read_bytes()
    assert "earlier_1" in run_script(*arguments, "--seed", 5)
    assert (work / "twice" / "earlier_1" / "checkpoint_last.pth.tar").read_bytes() == first
    assert (work / "twice" / "checkpoint_last.pth.tar").read_bytes() != first
