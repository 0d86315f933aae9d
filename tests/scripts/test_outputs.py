"""Where commands write: never into, over or around what data are read from; and known before any work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from conftest import run_script
from stage_configs import SHAPES, write_configs

from dataset.synthetic.shape_set import write_coco
from engine.experiment import load_experiment
from engine.files import lock_folder
from engine.inference import batch_eval, score_key
from engine.inference.evaluator import Evaluator
from engine.tasks.objects import picture_names
from engine.training.checkpoint import new_detector, save_checkpoint
from errors import InputError
from files import check_output


def contents(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def data(ctw_root, tmp_path) -> Path:
    """A copy of the data, which a command may try to destroy."""
    return Path(shutil.copytree(ctw_root, tmp_path / "mine" / "ctw"))


@pytest.fixture(scope="module")
def checkpoint(configs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("untrained") / "checkpoint_1ep.pth.tar"
    cfg = load_experiment(configs["student"])
    save_checkpoint(path, new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    return path


# --- the check itself


def test_what_is_read_is_not_written(tmp_path):
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    label = tmp_path / "data" / "labels.json"
    label.write_text("{}")
    (tmp_path / "link").symlink_to(images)
    for path, folder, how in [
        (images, True, "is"),
        (images / "sub" / "sub", True, "lies in"),
        (images / "a.jpg", False, "lies in"),
        (tmp_path / "data", True, "holds"),
        (tmp_path, True, "holds"),
        (tmp_path / "link", True, "is"),
        (tmp_path / "data" / ".." / "data" / "images", True, "is"),
    ]:
        with pytest.raises(InputError, match=rf"^--out \S+: {how} {images}, which is read and would be lost"):
            check_output("--out", path, [images], folder)
    with pytest.raises(InputError, match=r"is .*labels\.json"):
        check_output("--out", label, [label], folder=False)
    for path, folder in [(tmp_path / "other", True), (tmp_path / "images", True), (tmp_path / "data.png", False)]:
        check_output("--out", path, [images, label], folder)
    check_output("--out", tmp_path / "data", [label])  # files of other names beside it


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        check_output("--out", tmp_path / "locked" / "new")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    for path, folder in [(tmp_path / "file", True), (tmp_path / "file" / "new", True), (tmp_path, False)]:
        with pytest.raises(InputError, match="Not a directory"):
            check_output("--out", path, [], folder)


# --- every command


@pytest.mark.parametrize("place", [".", "train", "train/text_image", "test/text_image/new", ".."])
def test_no_command_writes_into_a_text_data_set(configs, checkpoint, data, place):
    before, target = contents(data), data / place
    options = ["--cfg-options", f"data.root={data}"]
    student = configs["student"]
    test = ["test.py", student, checkpoint]
    commands = [
        ["train.py", student, "--work-dir", target],
        ["train.py", student, "--work-dir", target, "--resume"],
        [*test, "--work-dir", target],
        [*test, "--work-dir", data.parents[1] / "tested", "--vis", target],
        ["batch_eval.py", student, checkpoint.parent, "--work-dir", target],
    ]
    if place != "..":  # a file beside the data set hurts nobody
        commands.append(["tools/browse_dataset.py", student, "--out", target / "sheet.jpg"])
    for command in commands:
        output = run_script(*command, *options, code=2)
        assert "which is read and would be lost; name another place" in output.splitlines()[-1], (command, output)
    assert contents(data) == before


def test_result_files_do_not_replace_labels(configs, checkpoint, data):
    before = contents(data)
    labels = data / "test" / "text_label_curve"
    for path in (labels, data / "test" / "results.zip"):
        options = ["--cfg-options", f"data.root={data}", f"test_cfg.result_path={path}"]
        output = run_script("test.py", configs["student"], checkpoint, *options, code=2)
        assert f"error: test_cfg.result_path {path}: " in output and "would be lost" in output
    assert contents(data) == before


def test_scores_do_not_replace_results(data):
    labels = data / "test" / "text_label_curve"
    before = contents(data)
    for target in (labels / "scores.json", sorted(labels.iterdir())[0]):
        command = ["-m", "eval", "ctw1500", "--gt", labels, "--pred", labels, "--json", target]
        assert "would be lost" in run_script(*command, code=2)
    assert contents(data) == before


def test_an_overwritten_synthetic_set_keeps_what_is_not_of_it(tmp_path):
    make = ["tools/make_synthetic.py", tmp_path / "set", "--train", 1, "--test", 0, "--size", "96x96"]
    run_script(*make)
    (tmp_path / "set" / "my run").mkdir()
    output = run_script(*make, "--seed", 1, "--overwrite", code=2)
    assert "holds my run, which is not of the set" in output and (tmp_path / "set" / "my run").is_dir()
    (tmp_path / "set" / "my run").rmdir()
    run_script(*make, "--seed", 1, "--overwrite")


def test_an_imported_checkpoint_does_not_replace_the_published_one(configs, checkpoint):
    before = checkpoint.read_bytes()
    for target in (checkpoint, configs["student"]):
        command = ["tools/import_checkpoint.py", checkpoint, target, "--config", configs["student"]]
        assert "which is read and would be lost" in run_script(*command, code=2)
    assert checkpoint.read_bytes() == before


def test_pictures_of_different_images_have_different_names():
    images = [("same", "same.jpg"), ("same", "same.jpeg"), ("../same", "same.jpg"), ("a/same", "same.jpg")]
    assert picture_names(images) == ["same.jpg", "same.jpeg.jpg", "same.jpg.jpg", "a/same.jpg"]
    assert picture_names([("a", "a.b"), ("A", "A.b"), ("../a", "a.b"), ("/a", "a.b")]) == [
        "a.jpg", "A.b.jpg", "2_a.b.jpg", "3_a.b.jpg",
    ]  # fmt: skip


# --- batch_eval.py: what is known, and two at once


def change_label(data: Path) -> None:
    path = max((data / "test" / "text_label_curve").iterdir(), key=lambda path: path.stat().st_size)
    path.write_text(path.read_text().splitlines()[0] + "\n")


def change_image(data: Path) -> None:
    first, second = sorted((data / "test" / "text_image").iterdir())[:2]
    stat = first.stat()
    first.write_bytes(second.read_bytes())
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def change_code(data: Path) -> None:
    code = data.parent / "code"
    shutil.copytree(score_key.ROOT / "eval", code / "eval", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("errors.py", "files.py", "keywords.py"):
        shutil.copy(score_key.ROOT / name, code)
    (code / "eval" / "counts.py").write_text("# another rule\n")
    score_key.ROOT = code
    score_key._code.cache_clear()


def change_checkpoint(data: Path) -> None:
    [path] = (data.parent / "checkpoints").iterdir()
    content, stat = torch.load(path, weights_only=True), path.stat()
    content["state_dict"] = {key: value * 1 for key, value in content["state_dict"].items()}
    content["state_dict"]["head.conv2.bias"] += 1
    torch.save(content, path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [change_label, change_image, change_code, change_checkpoint])
def test_scores_are_measured_anew_when_what_they_depend_on_has_changed(configs, checkpoint, data, change, monkeypatch):
    monkeypatch.setattr(score_key, "ROOT", score_key.ROOT)
    shutil.copytree(checkpoint.parent, data.parent / "checkpoints")
    command = ["batch_eval.py", configs["student"], data.parent / "checkpoints", "--work-dir", data.parent / "scores"]
    command += ["--cfg-options", f"data.root={data}"]
    assert "(already evaluated)" not in run_script(*command)
    for path in (data / "test").rglob("*"):  # a copy of the data is the same data
        os.utime(path, (1, 1))
    assert "(already evaluated)" in run_script(*command)
    change(data)
    assert "(already evaluated)" not in run_script(*command)
    assert "(already evaluated)" not in run_script(*command, "--max-steps", 2)
    score_key._code.cache_clear()


def test_two_batch_evals_do_not_share_a_folder(configs, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_eval, "lock_folder", lambda folder: lock_folder(folder, patience=0.1))
    command = ["batch_eval.py", configs["student"], checkpoint.parent, "--work-dir", tmp_path]
    with lock_folder(tmp_path):
        output = run_script(*command, code=2)
    assert f"error: {tmp_path}: another program works there; wait for its end, or name another folder" in output
    run_script(*command)


# --- what is in the way shows before the work


def test_a_run_whose_results_folder_is_not_its_own_ends_before_it_trains(configs, tmp_path):
    (tmp_path / "val_results").mkdir()
    (tmp_path / "val_results" / "notes.md").touch()
    train = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path, "--resume"]
    assert "val_results: holds notes.md" in run_script(*train, code=2)
    assert not list(tmp_path.glob("checkpoint_*"))


def test_results_of_an_evaluation_that_cannot_be_written_are_found_first(configs, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(Evaluator, "predict", lambda *_, **__: pytest.fail("it was predicted first"))
    (tmp_path / "results.json").mkdir()
    test = ["test.py", configs["student"], checkpoint, "--work-dir", tmp_path]
    assert f"{tmp_path / 'results.json'} is a folder" in run_script(*test, code=2)
    folder = tmp_path / "results" / checkpoint.name
    folder.mkdir(parents=True)
    (folder / "notes.md").touch()
    command = ["batch_eval.py", configs["student"], checkpoint.parent, "--work-dir", tmp_path]
    assert "holds notes.md" in run_script(*command, code=2)


def test_pictures_do_not_replace_photographs(configs, checkpoint, data, tmp_path):
    """Which need not be those of the data set: it may hold copies of them."""
    photographs = Path(shutil.copytree(data / "test" / "text_image", tmp_path / "photographs"))
    before = contents(photographs)
    test = ["test.py", configs["student"], checkpoint, "--work-dir", tmp_path / "tested", "--vis"]
    assert "is no picture of detections" in run_script(*test, photographs, code=2)
    assert contents(photographs) == before
    for _ in range(2):  # its own are replaced
        run_script(*test, tmp_path / "pictures")
    assert all(cv2.imread(str(path)) is not None for path in (tmp_path / "pictures").iterdir())


@pytest.mark.parametrize("field", ["annotations", "images"])
def test_training_data_outside_the_root_are_known(tmp_path, field):
    write_coco(tmp_path / "shapes", train=2, val=2, size=(64, 64), seed=0)
    config = write_configs(tmp_path, {**SHAPES, "root": str(tmp_path / "shapes")})["faster"]
    cfg = load_experiment(config)
    checkpoint = tmp_path / "checkpoint_last.pth.tar"
    names = [c["name"] for c in json.loads((tmp_path / "shapes" / SHAPES["train"][0]).read_text())["categories"]]
    save_checkpoint(checkpoint, new_detector(cfg.model).state_dict(), cfg.config, 1, {}, names)
    if field == "annotations":
        elsewhere = Path(shutil.copy(tmp_path / "shapes" / SHAPES["train"][0], tmp_path / "mine.json"))
        options = ["--cfg-options", f"test_cfg.result_path={elsewhere}"]
    else:
        elsewhere = Path(shutil.copytree(tmp_path / "shapes" / SHAPES["train"][1], tmp_path / "mine"))
        options = ["--vis", elsewhere, "--cfg-options"]
    output = run_script("test.py", config, checkpoint, *options, f"data.train.{field}={elsewhere}", code=2)
    assert f"{elsewhere}, which is read and would be lost" in output
