"""What a config file may hold, and what is said of the rest: one line that names the key and the remedy."""

import os

import numpy as np
import pytest
import torch
from conftest import ROOT

from engine.experiment import load_experiment
from errors import InputError
from models import build_detector
from models.weights import read_checkpoint

BASE = f'_base_ = "{ROOT.as_posix()}/config/kkd/r18_ctw.py"\n'


def load(tmp_path, text: str, *options: str, name: str = "own.py"):
    path = tmp_path / name
    path.write_text(text)
    return load_experiment(path, options)


def test_a_config_may_import_compute_and_have_helpers(tmp_path):
    text = BASE + "import os\n_side = 64\ndata = dict(root=os.path.join('a', 'b'), train=dict(img_size=10 * _side))\n"
    cfg = load(tmp_path, text)
    assert cfg.data.root == "a/b" and cfg.data.train.transform.img_size == 640
    assert "_side" not in cfg.config and "os" not in cfg.config


def test_values_of_other_types_become_plain_ones_that_a_checkpoint_can_hold(tmp_path):
    text = BASE + (
        "import numpy as np\nfrom pathlib import Path as _Path\n"
        "train_cfg = dict(schedule=range(1, 4), lr=np.float64(0.5), epoch=np.int64(7))\ndata = dict(root=_Path('a'))\n"
    )
    cfg = load(tmp_path, text)
    assert cfg.train_cfg.schedule == [1, 2, 3] and type(cfg.train_cfg.lr) is float and cfg.train_cfg.epoch == 7
    torch.save({"state_dict": {"x": torch.zeros(1)}, "config": cfg.config}, tmp_path / "c.pth")
    assert read_checkpoint(tmp_path / "c.pth")["config"]["data"]["root"] == "a"


@pytest.mark.parametrize(
    "text, says",
    [
        ("side = 64\n", r"unknown key 'side'.*; names for the config's own use begin with '_'"),
        ("from pathlib import Path\n", r"Path: is Path, expected numbers, .*begin with '_'"),
        ("train_cfg = dict(schedule={1, 2})\n", r"train_cfg\.schedule: is a set"),
        ("train_cfg = dict(lr=lambda: 1)\n", r"train_cfg\.lr: is a function"),
        ("data = {1: 2}\n", r"data: the key 1 is no string"),
        ("raise ValueError('two\\nlines')\n", r"ValueError: two lines"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3"),
        ("import no_such_package\n", r"ModuleNotFoundError: No module named 'no_such_package'"),
        ("model = dict(\n", r"SyntaxError: .*, line 2; mend it there"),
        ("_base_ = 'absent.py'\n", r"_base_: no such config file: .*absent\.py"),
        ("_base_ = ['own.py']\n", r"is based on itself"),
        ("_base_ = 'other.yaml'\n", r"other\.yaml: is no config, which is a Python file"),
        ("_base_ = 3 * x\n", r"_base_: expected the path of a config"),
    ],
)
def test_what_cannot_be_is_named_in_one_line(tmp_path, text, says):
    (tmp_path / "other.yaml").write_text("a: 1\n")
    base = "" if "_base_" in text else BASE
    with pytest.raises(InputError, match=says) as error:
        load(tmp_path, base + text)
    assert "own.py" in str(error.value) or "other.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_only_python_files_are_taken_and_only_text(tmp_path):
    for name in ("own.yaml", "own.json", "own"):
        with pytest.raises(InputError, match=rf"{name}: is no config, which is a Python file, \.py"):
            load(tmp_path, BASE, name=name)
    (tmp_path / "latin.py").write_bytes(b"# \xe4\nmodel = {}\n")
    with pytest.raises(InputError, match=r"latin\.py: .*(UTF-8|utf-8)"):
        load_experiment(tmp_path / "latin.py")
    with pytest.raises(InputError, match=r"is no config, .* the config comes first"):
        load_experiment(tmp_path)


def test_options_reach_elements_of_lists(tmp_path):
    text = BASE + "train_cfg = dict(schedule=[200, 400])\n"
    assert load(tmp_path, text, "train_cfg.schedule.0=100").train_cfg.schedule == [100, 400]
    for index in ("2", "-1", "x"):
        with pytest.raises(InputError, match=r"'train_cfg\.schedule' is a list with indices 0 to 1"):
            load(tmp_path, text, f"train_cfg.schedule.{index}=100")


def test_a_test_split_may_be_taken_away(tmp_path):
    assert load(tmp_path, BASE, "data.test=None").data.test is None
    with pytest.raises(InputError, match=r"data\.train is missing"):
        load(tmp_path, BASE, "data.train=None")


def timm_model(pretrained) -> dict:
    return dict(
        type="RCNN",
        backbone=dict(type="TimmBackbone", name="resnet18", pretrained=str(pretrained)),
        neck=dict(type="FPN", channels=16),
        heads=dict(type="FasterHeads", representation=16),
        num_classes=2,
    )


def test_weights_for_a_timm_backbone_are_read_without_running_code_and_must_fit(tmp_path):
    timm = pytest.importorskip("timm")
    path = tmp_path / "weights.pth"
    own = timm.create_model("resnet18").state_dict()
    torch.save({"state_dict": own}, path)
    body = build_detector(timm_model(path)).backbone["body"].body
    torch.testing.assert_close(body.state_dict()["layer1.0.conv1.weight"], own["layer1.0.conv1.weight"])
    torch.save({"state_dict": {"encoder.something": torch.zeros(3)}}, path)
    with pytest.raises(InputError, match=r"weights\.pth: .*(none of its 1 tensors fits|of another model)"):
        build_detector(timm_model(path))
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"weights\.pth"):
        build_detector(timm_model(path))
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"w\.npy"):
        build_detector(timm_model(tmp_path / "w.npy"))


@pytest.mark.parametrize("option", ["loss.text_weight=-1", "loss.kernel_weight=-0.5", "loss.text_weight=1e999"])
def test_weights_of_losses_below_nothing_are_refused(option):
    key = option.partition("=")[0]
    with pytest.raises(InputError, match=rf"{key}=.*: expected 0 or more"):
        load_experiment("config/kkd/r18_ctw.py", [option])
    load_experiment("config/kkd/r18_ctw.py", [f"{key}=0"])


@pytest.mark.parametrize(
    "option, wanted",
    [
        ("distiller.type=FGDTextDistiller distiller.alpha=-1", "expected 0 or more"),
        ("distiller.divisor=0", "expected a number above 0"),
        ("distiller.divisor=-6", "expected a number above 0"),
        ("distiller.type=SoftMapDistiller distiller.temperature=0", "expected a number above 0"),
        ("distiller.divisor=1e999", "expected a number above 0"),
        ("distiller.type=FGDDistiller", "is not for text; use one of .*KernelMaskDistiller, "),
        ("distiller.type=MultiNeckDistiller", "is not for text"),
        ("distiller.type=PearsonDistiller", "is not for text"),
        ("data.train.root=5", "expected the path of a folder"),
        ("data.test.root=5", "expected the path of a folder"),
    ],
)
def test_what_no_distillation_or_data_can_be_is_refused(configs, option, wanted):
    *kind, changed = option.split()
    with pytest.raises(InputError, match=rf"{changed.partition('=')[0]}=.*: {wanted}"):
        load_experiment(configs["distill"], [*kind, changed])


def test_a_text_distiller_is_not_for_objects():
    with pytest.raises(InputError, match=r"type='SoftMapDistiller': is not for objects; use one of FGDDistiller"):
        load_experiment("config/multineck/fgd_faster_r101_to_faster_r50_coco.py", ["distiller.type=SoftMapDistiller"])


def test_the_number_of_data_workers_may_be_left_to_the_machine():
    assert load_experiment("config/kkd/r18_ctw.py", ["data.num_workers=None"]).data.num_workers is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on Windows")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(InputError, match=r"pipe\.py: is no regular file"):
        load_experiment(tmp_path / "pipe.py")
    (tmp_path / "own.py").write_text("_base_ = ['pipe.py']\n")
    with pytest.raises(InputError, match="pipe"):
        load_experiment(tmp_path / "own.py")
