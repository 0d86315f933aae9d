"""The three stages of multi-neck distillation from the command line, on synthetic and on real images."""

import csv
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_process, run_script
from stage_configs import SHAPES, changed_annotations, load, run_stages, write_configs

from dataset.synthetic.shape_set import write_coco
from distillation.multineck.centers import Centers, class_spreads, fit_centers, load_centers
from distillation.multineck.feature_files import read_features
from distillation.multineck.provenance import Provenance
from distillation.multineck.roi_features import roi_descriptors
from distillation.multineck.stage_files import DescriptorSet
from engine.experiment import load_experiment
from engine.training.checkpoint import load_detector
from engine.training.run import build_learner
from engine.training.stages import centers_path, features_path
from eval import coco
from models import build_detector
from models.weights import read_checkpoint, read_weights

REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("some data") / "shapes"
    write_coco(root, train=6, val=3, size=(64, 64), seed=2)
    return root


@pytest.fixture(scope="module")
def configs(shapes, tmp_path_factory) -> dict[str, Path]:
    return write_configs(tmp_path_factory.mktemp("work dir"), {**SHAPES, "root": shapes.as_posix()})


@pytest.fixture(scope="module")
def done(configs) -> Path:
    """The folder of all runs after the three stages: two teachers, and a student of two epochs."""
    output = run_stages(configs, steps=2)
    assert output.count("no ImageNet weights given") == 1  # the teachers' backbones say nothing
    folder = configs["distill"].parent
    run_script("train.py", configs["distill"], "--work-dir", folder / "distill")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["state_dict"]


# --- the stages


def test_the_student_learns_from_both_teachers_and_its_checkpoint_is_its_own(configs, done):
    with sorted(done.glob("distill/logs/*/metrics.csv"))[-1].open() as file:
        columns = set(csv.DictReader(file).fieldnames)
    terms = ("foreground", "background", "object", "attention", "relation")
    assert {f"loss/branch{i}_{term}" for i in (1, 2) for term in terms} < columns and "val/ap50" in columns
    checkpoint = read_checkpoint(done / "distill" / "checkpoint_last.pth.tar")
    assert checkpoint["epoch"] == 2 and len(checkpoint["classes"]) == 6 and "ap" in checkpoint["metrics"]
    assert (
        checkpoint["state_dict"].keys() == build_detector(load_experiment(configs["distill"]).model).state_dict().keys()
    )


def test_features_are_those_of_whole_passes_over_the_resized_images(configs, done):
    cfg, dataset = load(configs["distill"], "data.train.flip=0.0")
    for number, name in enumerate(("faster", "cascade"), 1):
        teacher, about = load_detector(load_experiment(configs[name]).model, done / name / "checkpoint_last.pth.tar")
        expected, labels = [], []
        for index in range(len(dataset)):
            batch = cfg.task.collate([dataset[index]])
            with torch.no_grad():
                levels = teacher(batch.images, batch.sizes).pyramid[:4]
            expected.append(roi_descriptors(levels, [batch.targets[0]["boxes"]]))
            labels.append(batch.targets[0]["labels"])
        found = read_features(features_path(done / "distill", number))
        np.testing.assert_allclose(found.descriptors, torch.cat(expected), atol=1e-5)
        np.testing.assert_array_equal(found.labels, torch.cat(labels))
        assert found.provenance.classes == dataset.classes == tuple(about["classes"])
        assert found.provenance.settings == {
            "short_side": 64, "long_side": 96, "top_channels": 20, "precision": "32",
        }  # fmt: skip


def test_centres_of_both_teachers_are_the_means_and_differ(done):
    first, second = (features_path(done / "distill", number) for number in (1, 2))
    for path in (first, second):
        expected, found = fit_centers(read_features(path)), load_centers(centers_path(path))
        np.testing.assert_array_equal(found.descriptors, expected.descriptors)
        np.testing.assert_array_equal(found.labels, expected.labels)
    assert not np.array_equal(load_centers(centers_path(first)).descriptors, found.descriptors)


def test_the_table_of_centres_and_their_picture(done, tmp_path):
    features = features_path(done / "distill", 1)
    options = ["--k", 2, "--seed", 3, "--out", tmp_path / "two.npz", "--plot", tmp_path / "centres.png"]
    output = run_script("tools/fit_centers.py", features, *options)
    counts = np.bincount(read_features(features).labels, minlength=7)[1:]
    rows = [line.split() for line in output.splitlines() if line.startswith("  ")]
    assert [row[0] for row in rows] == ["class", *read_features(features).provenance.classes]
    assert [int(row[1]) for row in rows[1:]] == counts.tolist()
    assert len(load_centers(tmp_path / "two.npz").labels) == sum(np.minimum(counts, 2))
    assert (tmp_path / "centres.png").stat().st_size > 10_000
    both = [features, features, "--out", tmp_path / "x.npz"]
    assert "--out names one file" in run_script("tools/fit_centers.py", *both, code=2)
    copies = [tmp_path / name for name in ("first.npz", "second.npz")]
    for number, copy in enumerate(copies, 1):
        shutil.copy(features_path(done / "distill", number), copy)
    run_script("tools/fit_centers.py", *copies, "--plot", tmp_path / "both.png")
    pictures = [(tmp_path / f"both_{name}.png").read_bytes() for name in ("first", "second")]
    assert all(len(picture) > 10_000 for picture in pictures) and pictures[0] != pictures[1]
    assert "use .png or .pdf" in run_script("tools/fit_centers.py", features, *options[:-1], tmp_path / "c.xyz", code=2)


def test_spreads_by_hand():
    # Two boxes of class 1 at 0 and 2 on the first axis, centre 1; class 3 at 5; class 2 has no box.
    points = np.zeros((3, 49), np.float32)
    points[:, 0] = 0, 2, 5
    origin = Provenance("t", "0", ("cat", "dog", "cow"), "a", "0", 1, "0", {})
    features = DescriptorSet(points, np.array([1, 1, 3], np.int32), origin)
    spreads = class_spreads(features, fit_centers(features))
    assert spreads == {1: (2, 1.0, 4.0, 3), 3: (1, 0.0, 4.0, 1)}
    alone = DescriptorSet(points[:2], features.labels[:2], origin)
    assert class_spreads(alone, fit_centers(alone)) == {1: (2, 1.0, np.inf, 0)}
    # With a centre for each box, the nearest one counts.
    apart = Centers(points, features.labels, origin)
    assert class_spreads(features, apart) == {1: (2, 0.0, 3.0, 3), 3: (1, 0.0, 3.0, 1)}


# --- interruptions


def equal(one: Path, other: Path) -> bool:
    first, second = read_features(one), read_features(other)
    same = np.array_equal(first.descriptors, second.descriptors) and np.array_equal(first.labels, second.labels)
    return same and first.provenance == second.provenance


def test_a_collection_in_parts_equals_one_in_one_go(configs, done, tmp_path):
    command = ["tools/collect_roi_features.py", configs["distill"], "--teacher", 2, "--out", tmp_path]
    assert "not complete yet" in run_script(*command, "--max-steps", 2)
    assert not features_path(tmp_path, 2).exists()
    output = run_script(*command)
    assert "2 of 6 images are there already" in output and "teacher 2: 4 of 4 images" in output
    assert equal(features_path(tmp_path, 2), features_path(done / "distill", 2))
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["roi_features_teacher2.npz"]
    assert "already complete; nothing to do" in run_script(*command)


def test_a_killed_collection_equals_an_uninterrupted_one(configs, done, tmp_path):
    write_coco(tmp_path / "data", train=40, val=1, size=(64, 64), seed=4)
    options = ["--teacher", 1, "--device", "cpu", "--cfg-options", f"data.root={tmp_path / 'data'}"]
    command = ["tools/collect_roi_features.py", configs["distill"], *options]
    killed = [sys.executable, *map(str, [*command, "--out", tmp_path / "killed"])]
    process = subprocess.Popen(killed, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "killed" / "roi_features_teacher1.npz.parts" / "journal.bin"
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not features_path(tmp_path / "killed", 1).exists()
    assert "images are there already" in run_script(*command, "--out", tmp_path / "killed")
    run_script(*command, "--out", tmp_path / "whole")
    assert equal(features_path(tmp_path / "killed", 1), features_path(tmp_path / "whole", 1))


def test_a_resumed_distillation_ends_as_the_uninterrupted_one_bit_for_bit(configs, done, tmp_path):
    script = ["train.py", configs["distill"], "--device", "cpu"]
    run_script(*script, "--work-dir", tmp_path, "--max-steps", 4)  # an epoch has three steps
    assert read_checkpoint(tmp_path / "checkpoint_last.pth.tar")["epoch"] == 1
    run_script(*script, "--work-dir", tmp_path, "--resume")
    whole, resumed = weights(done / "distill"), weights(tmp_path)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.slow
def test_two_processes_distil(configs, done, tmp_path):
    run_process("train.py", configs["distill"], "--work-dir", tmp_path, "--device", "cpu", "--devices", 2)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())
    assert weights(tmp_path).keys() == weights(done / "distill").keys()


def test_a_class_without_boxes_weighs_one_and_is_named_once(configs, done, shapes, tmp_path):
    def remove_stars(content: dict) -> None:
        star = next(c["id"] for c in content["categories"] if c["name"] == "star")
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] != star]

    options = [changed_annotations(shapes, tmp_path / "no stars.json", remove_stars)]
    collect = ["tools/collect_roi_features.py", configs["distill"], "--out", tmp_path, "--cfg-options"]
    run_script(*collect, *options)
    features = [features_path(tmp_path, number) for number in (1, 2)]
    assert run_script("tools/fit_centers.py", *features).count("  star            0        -        -\n") == 2
    options += [f"distiller.teachers.{i}.centers={centers_path(path)}" for i, path in enumerate(features)]
    script = ["train.py", configs["distill"], "--work-dir", tmp_path, "--max-steps", 2]
    warnings = [line for line in run_script(*script, "--cfg-options", *options).splitlines() if "no centre" in line]
    assert warnings == [f"teacher {number}: no centre of star; such boxes weigh 1" for number in (1, 2)]


# --- testing


def test_test_py_prints_the_table_and_writes_what_eval_scores_alike(configs, done, shapes, tmp_path):
    command = ["test.py", configs["distill"], done / "distill" / "checkpoint_last.pth.tar", "--work-dir", tmp_path]
    output = run_script(*command, "--vis", tmp_path / "pictures", "--report-speed")
    summary = json.loads((tmp_path / "results.json").read_text())
    scores = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    for name in scores:
        assert f"{name} " + ("-" if summary[name] is None else f"{summary[name]:.4f}") in output
    assert {"decode", "resize", "network", "post_processing", "write"} < summary["speed"].keys()
    assert "  triangle  " in output
    assert "ImageNet" not in output and "loaded" not in output
    truth = shapes / SHAPES["test"][0]
    again = coco.evaluate(truth, tmp_path / "detections.json")
    assert all(again[name] == summary[name] for name in (*scores, "per_class", "images"))
    ids = {image["id"] for image in json.loads(truth.read_text())["images"]}
    assert {entry["image_id"] for entry in json.loads((tmp_path / "detections.json").read_text())} <= ids
    assert len(list((tmp_path / "pictures").rglob("*.jpg"))) == 3


def test_masks_are_scored_where_there_are_some(configs, done, shapes, tmp_path):
    options = ["--work-dir", tmp_path, "--cfg-options", "test_cfg.variant=segm"]
    output = run_script("test.py", configs["cascade"], done / "cascade" / "checkpoint_last.pth.tar", *options)
    assert "coco segm, 3 images" in output
    results = json.loads((tmp_path / "detections.json").read_text())
    assert results and all(entry["segmentation"]["size"] == [64, 64] for entry in results)
    again = coco.evaluate(shapes / SHAPES["test"][0], tmp_path / "detections.json", "segm")
    assert again["ap"] == json.loads((tmp_path / "results.json").read_text())["ap"]
    student = ["test.py", configs["distill"], done / "distill" / "checkpoint_last.pth.tar", *options]
    assert "this detector has no masks; use 'bbox'" in run_script(*student, code=2)


def test_batch_eval_lists_every_epoch(configs, done, tmp_path):
    folder = shutil.copytree(done / "distill", tmp_path / "distill", ignore=shutil.ignore_patterns("logs", "earlier*"))
    names = {"checkpoint_1ep.pth.tar", "checkpoint_2ep.pth.tar"}
    for name in names:
        shutil.copy(folder / "checkpoint_last.pth.tar", folder / name)
    output = run_script("batch_eval.py", configs["distill"], folder)
    assert output.count("<- best") == 1 and "ap_large" in output
    with (folder / "batch_eval" / "scores.csv").open() as file:
        assert {row["checkpoint"] for row in csv.DictReader(file)} >= names
    assert "(already evaluated)" in run_script("batch_eval.py", configs["distill"], folder)


# --- other ways in


def test_training_starts_from_a_file_of_torchvisions_older_names(configs, done, tmp_path, caplog):
    state = read_weights(done / "faster" / "checkpoint_last.pth.tar")
    old = {
        name.replace("_blocks.0.0.", "_blocks.0.").replace("rpn.head.conv.0.0.", "rpn.head.conv."): value
        for name, value in state.items()
    }
    assert sum(name not in state for name in old) == 6
    torch.save(old, tmp_path / "old.pth")
    with caplog.at_level(logging.INFO):
        learner = build_learner(*load(configs["faster"], f"train_cfg.pretrain={tmp_path / 'old.pth'}"))
    assert all(torch.equal(value, state[name]) for name, value in learner.student.state_dict().items())
    assert "left out or not found" not in caplog.text and "no ImageNet weights" not in caplog.text


def test_what_is_frozen_is_told(configs, done, caplog):
    with caplog.at_level(logging.INFO):
        build_learner(*load(configs["faster"], "model.backbone.frozen_stages=4", "model.backbone.freeze_norm=True"))
    assert "student: 11.18 of " in caplog.text and "million parameters are frozen" in caplog.text


@pytest.mark.skipif(not (REAL / "coco").is_dir(), reason="needs the COCO sample in ../shared/data")
def test_the_stages_on_real_coco_images(tmp_path):
    configs = write_configs(tmp_path, {**SHAPES, "root": (REAL / "coco").as_posix(), "classes": 80})
    output = run_stages(configs, steps=1)
    assert "teacher 1: no centre of " in output
    run_script("test.py", configs["distill"], tmp_path / "distill" / "checkpoint_last.pth.tar", "--work-dir", tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["images"] == 6


@pytest.mark.skipif(not (REAL / "voc").is_dir(), reason="needs the VOC sample in ../shared/data")
def test_the_stages_on_real_voc_images(tmp_path):
    devkit = REAL / "voc" / "VOCdevkit"
    run_script("tools/voc_to_coco.py", devkit, tmp_path / "voc")
    splits = {split: (f"{tmp_path.as_posix()}/voc/{split}.json", ".") for split in ("train", "test")}
    configs = write_configs(tmp_path, dict(root=devkit.as_posix(), classes=20, **splits), second="faster")
    run_stages(configs, steps=1, teachers=("faster",))
    first, second = (read_features(features_path(tmp_path / "distill", number)) for number in (1, 2))
    np.testing.assert_array_equal(first.descriptors, second.descriptors)  # it is one teacher, twice
    assert len(first.provenance.classes) == 20 and first.provenance == second.provenance
