"""Mistakes of the user's: one clear line, exit code 2, nothing half-written."""

import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, run_script

from engine.experiment import load_experiment
from engine.training.run import build_learner
from errors import InputError
from models import build_detector


def last_line(output: str) -> str:
    assert "Traceback" not in output
    return output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "options, message",
    [
        (["train_cfg.epcoh=3"], "unknown key 'train_cfg.epcoh'; did you mean 'epoch'?"),
        (["modle.backbone.depth=18"], "no 'modle'; did you mean 'model'?"),
        (["model.backbone.dept=18"], "unknown key 'model.backbone.dept'; did you mean 'depth'?"),
        (["model.backbone.type=ResNet18"], "model.backbone.type='ResNet18': unknown; did you mean 'ResNet'?"),
        (["model.backbone.depth=34"], "backbone.depth=34: expected one of [18, 50, 101]"),
        (["data.train.type=CTW"], "did you mean 'CTW1500'?"),
        (["data.train.kernel_scal=0.5"], "did you mean 'kernel_scale'?"),
        (["train_cfg.optimizer=Adm"], "train_cfg.optimizer='Adm': expected one of Adam, AdamW, SGD"),
        (["train_cfg.lr=fast"], "train_cfg.lr='fast': expected float"),
        (["train_cfg.lr=0"], "train_cfg.lr=0: expected a number above 0"),
        (["train_cfg.schedule=['a']"], "expected 'polylr', 'cosine' or a list of epochs"),
        (["train_cfg.save_interval=0"], "train_cfg.save_interval=0: expected 1 or more"),
        (["data.batch_size=abc"], "data.batch_size='abc': expected a whole number"),
        (["data.train=3"], "data.train: expected a dict with a 'type'"),
        (["data.train.short_size=x"], "data.train.short_size='x': expected int"),
        (["model.backbone.width=-1"], "backbone.width=-1: expected a positive multiple of 16"),
        (["model.neck.channels=-1"], "section 'model' cannot be built"),
        (["model.neck.channels=None"], "model.neck.channels=None: expected int"),
        (["test_cfg.min_area=x"], "test_cfg.min_area='x': expected int"),
        (["test_cfg.bbox_type=circle"], "test_cfg.bbox_type for ctw1500='circle': expected one of poly, rect"),
        (["test_cfg.min_score=88"], "test_cfg.min_score=88"),
        (["loss.text_weigth=1"], "did you mean 'text_weight'?"),
        (["model.backbone.depth.a=1"], "'model.backbone.depth' is a value, not a section"),
        (["train_cfg.lr"], "expected key.path=value"),
        (["test_cfg.protocol=ctw"], "test_cfg.protocol='ctw': expected one of ctw1500"),
        (["test_cfg.variant=best"], "test_cfg.variant='best': expected one of official, kkdnet"),
        (["train_cfg.schedule=5"], "train_cfg.schedule=5"),
        (["train_cfg.schedule=[400,200]"], "expected ascending epochs"),
        (["train_cfg.lr=1e999"], "train_cfg.lr=inf"),
        (["train_cfg.momentum=1"], "train_cfg.momentum=1"),
        (["train_cfg.weight_decay=-1"], "train_cfg.weight_decay=-1"),
        (["test_cfg.min_area=-3"], "test_cfg.min_area=-3"),
        (["data.root=2024"], "data.root=2024: expected the path of a folder"),
        (["model.backbone=5"], "model.backbone: expected a dict"),
        (["model.neck.channels=64"], "section 'model' cannot be built"),
        (["model.head.type=PSENetHead"], "model.head predicts 6 kernel(s), data.train draws 1"),
        (["extra=1"], "unknown key 'extra'"),
    ],
)
def test_mistakes_in_a_config_are_named(options, message):
    with pytest.raises(InputError) as error:
        build_learner(load_experiment(ROOT / "config/kkd/r18_ctw.py", options))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_missing_and_broken_config_files(tmp_path):
    with pytest.raises(InputError, match=r"no such config file; did you mean 'config/kkd/r50_ctw.py'"):
        load_experiment("config/kkd/r50_ctv.py")
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(\n")
    with pytest.raises(InputError, match=r"broken\.py: SyntaxError"):
        load_experiment(broken)
    broken.write_text("model = dict(type='TextDetector')\n")
    with pytest.raises(InputError, match="section 'data' is missing"):
        load_experiment(broken)


def test_options_take_paths_with_spaces_and_literals():
    options = ["data.root=/a b/c", "train_cfg.schedule=[200, 400]", "train_cfg.pretrain=None"]
    cfg = load_experiment(ROOT / "config/kkd/r18_ctw.py", options)
    assert cfg.data.root == "/a b/c" and cfg.train_cfg.schedule == [200, 400] and cfg.train_cfg.pretrain is None


def test_missing_data_names_the_path_and_the_remedy(configs, tmp_path):
    where = tmp_path / "nowhere"
    options = ["--work-dir", tmp_path / "w", "--cfg-options", f"data.root={where}"]
    line = last_line(run_script("train.py", configs["student"], *options, code=2))
    assert str(where) in line and "data.root=" in line
    assert not (tmp_path / "w").exists()


def test_cuda_that_is_not_there(configs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "sees no CUDA device" in run_script("train.py", configs["student"], "--device", "cuda", code=2)
    assert "--precision bf16" in run_script("train.py", configs["student"], "--precision", "16", code=2)


def test_batch_that_cannot_be_shared_out(configs):
    output = run_script("train.py", configs["student"], "--devices", 2, "--cfg-options", "data.batch_size=3", code=2)
    assert "positive multiple of 2" in output


@pytest.mark.parametrize("option", ["--devices=0", "--devices=-1", "--max-steps=0", "--max-steps=-5"])
def test_numbers_that_make_no_run(configs, tmp_path, option):
    line = last_line(run_script("train.py", configs["student"], "--work-dir", tmp_path / "w", option, code=2))
    assert line.startswith(f"error: {option.replace('=', ' ')}: expected") and not (tmp_path / "w").exists()


def test_a_work_dir_that_is_a_file(configs, tmp_path):
    (tmp_path / "file").touch()
    line = last_line(run_script("train.py", configs["student"], "--work-dir", tmp_path / "file" / "w", code=2))
    assert line.startswith("error: ") and "Not a directory" in line


def test_a_file_to_resume_from_that_is_damaged_or_of_another_network(configs, tmp_path):
    script = ["train.py", configs["student"], "--work-dir", tmp_path]
    run_script(*script, "--cfg-options", "train_cfg.epoch=1")
    other = ["--resume", "--cfg-options", "model.head.hidden=32"]
    assert "of another architecture" in last_line(run_script(*script, *other, code=2))
    (tmp_path / "resume.ckpt").write_bytes(b"half")
    assert "resume.ckpt" in last_line(run_script(*script, "--resume", code=2))


def test_a_terminated_run_does_not_end_with_success(configs, tmp_path):
    command = [
        sys.executable,
        "train.py",
        configs["student"],
        "--work-dir",
        tmp_path,
        "--cfg-options",
        "train_cfg.epoch=999",
    ]
    process = subprocess.Popen([*map(str, command)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "resume.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, None) and "interrupted" in errors


def test_distillation_without_a_teacher_says_how_to_get_one(configs):
    line = last_line(run_script("knowledge_distillation_train.py", configs["distill"], code=2))
    assert line.startswith("error: none.pth.tar: no teacher checkpoint") and "python train.py" in line


def test_checkpoint_of_another_architecture_names_keys(configs, tmp_path):
    path = tmp_path / "other.pth.tar"
    torch.save({"state_dict": build_detector(load_experiment(configs["teacher"]).model).state_dict()}, path)
    line = last_line(run_script("test.py", configs["student"], path, "--work-dir", tmp_path / "w", code=2))
    assert "another architecture" in line and "backbone.layer1" in line
    assert not (tmp_path / "w").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(configs, tmp_path):
    options = ["--cfg-options", "train_cfg.lr=1e30", "train_cfg.epoch=5"]
    output = run_script("train.py", configs["student"], "--work-dir", tmp_path, *options, code=2)
    assert "the loss is not finite" in last_line(output) and "on images 000" in last_line(output)


def test_damaged_images_stop_training_beyond_one_percent(configs, ctw_root, tmp_path):
    import shutil

    damaged = tmp_path / "ctw1500"
    shutil.copytree(ctw_root, damaged)
    image = sorted((damaged / "train" / "text_image").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-200])
    options = ["--cfg-options", f"data.root={damaged}", "data.num_workers=2"]
    line = last_line(run_script("train.py", configs["student"], "--work-dir", tmp_path / "w", *options, code=2))
    assert "cannot be read, more than 1%" in line and image.name in line


def test_help_fits_a_screen():
    for script in ("train.py", "knowledge_distillation_train.py", "test.py", "batch_eval.py"):
        output = run_script(script, "--help")
        assert len(output.splitlines()) <= 40 and max(map(len, output.splitlines())) <= 110
