"""Every shipped config loads, builds its networks at full size, and makes one training step."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_distillation import random_batch

from engine.cli import run_name
from engine.config import load_config, test_settings, train_settings
from engine.module import TrainingModule
from engine.schedule import multistep, poly
from engine.train import build_learner
from models import build_detector

CONFIGS = sorted(p for p in (ROOT / "config").rglob("*.py") if p.parent.name != "_base_")


def networks(cfg) -> str:
    """What decides how a config builds and steps: all but data, schedule and the paths of checkpoints."""
    options = {key: value for key, value in cfg.get("distiller", {}).items() if key != "teachers"}
    teachers = [load_config(teacher.config).model for teacher in cfg.get("distiller", {}).get("teachers", [])]
    return repr((cfg.model, cfg.loss, options, teachers, cfg.train_cfg.optimizer, cfg.data.train.get("kernel_num")))


@pytest.fixture(scope="module")
def distinct():
    """One config file for each combination of networks, losses and optimiser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {networks(load_config(path)): path for path in reversed(CONFIGS)}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_shipped_config_builds_and_steps(path, distinct, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = load_config(path)
    train_settings(cfg), test_settings(cfg)
    if distinct[networks(cfg)] != path:  # steps under another name
        return
    cfg.train_cfg.pretrain = None
    for i, teacher in enumerate(cfg.get("distiller", {}).get("teachers", [])):
        checkpoint = tmp_path / f"teacher{i}.pth.tar"
        torch.save({"state_dict": build_detector(load_config(teacher.config).model).state_dict()}, checkpoint)
        teacher.checkpoint = str(checkpoint)
    learner = build_learner(cfg)
    [optimizer] = [TrainingModule(learner, train_settings(cfg), 1).configure_optimizers()["optimizer"]]
    before = learner.student.head.conv2.weight.detach().clone()
    losses = learner(random_batch(kernels=learner.student.head.maps.count("kernel"))).losses
    sum(losses.values()).backward()
    optimizer.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert not torch.equal(before, learner.student.head.conv2.weight)


def test_every_cell_of_the_table_has_a_config():
    names = {p.relative_to(ROOT / "config").with_suffix("").as_posix() for p in CONFIGS}
    sets = ("ctw", "tt", "ic15", "msra")
    expected = {f"kkd/{kind}_{s}" for s in sets for kind in ("r50", "r18", "distill")}
    expected |= {f"pan/r18_{s}{suffix}" for s in sets for suffix in ("", "_finetune")}
    sides = ("ctw", "tt", "ic15_736", "ic15_1024")
    expected |= {f"psenet/r50_{s}{suffix}" for s in sides for suffix in ("", "_finetune")}
    expected |= {"kkd/r50_synth", "kkd/r18_synth", "pan/r18_synth", "psenet/r50_synth"}
    assert expected <= names
    listed = (ROOT / "config" / "README.md").read_text()
    assert [name for name in expected if f"`{name.split('/')[1]}`" not in listed] == []


def test_there_is_one_level_of_base_at_most():
    for path in (ROOT / "config" / "_base_").rglob("*.py"):
        assert "_base_ =" not in path.read_text(), path


def test_known_recipes():
    cfg = load_config(ROOT / "config/kkd/distill_ctw.py")
    settings = train_settings(cfg)
    assert (settings.lr, settings.schedule, settings.epoch, settings.optimizer) == (
        1e-3,
        "polylr",
        600,
        "Adam",
    )
    assert cfg.data.batch_size == 32 and cfg.data.train.img_size == 640 and cfg.data.train.kernel_scale == 0.7
    assert train_settings(load_config(ROOT / "config/kkd/r50_ctw.py")).epoch == 400
    scores = {"ctw": 0.88, "tt": 0.87, "ic15": 0.85, "msra": 0.86}
    batches = {"ctw": 12, "tt": 8, "ic15": 16, "msra": 16}
    for name in scores:
        cfg = load_config(ROOT / f"config/kkd/r18_{name}.py")
        assert cfg.test_cfg.min_score == scores[name] and cfg.data.batch_size == batches[name]
        assert cfg.data.train.kernel_scale == (0.5 if name == "ic15" else 0.7)
        assert cfg.data.train.short_size == (640 if name in ("ctw", "tt") else 736)


def test_psenet_recipe():
    cfg = load_config(ROOT / "config/psenet/r50_ic15_1024.py")
    settings = train_settings(cfg)
    assert (settings.optimizer, settings.lr, settings.momentum, settings.weight_decay) == ("SGD", 1e-3, 0.99, 5e-4)
    assert list(settings.schedule) == [200, 400] and settings.epoch == 600
    assert (cfg.data.train.img_size, cfg.data.train.short_size, cfg.data.test.short_size) == (736, 1024, 1024)
    assert (cfg.data.train.kernel_num, cfg.data.train.min_scale, cfg.loss.text_weight) == (7, 0.4, 0.7)
    assert load_config(ROOT / "config/psenet/r50_ctw.py").data.train.min_scale == 0.7
    assert (cfg.test_cfg.bbox_type, cfg.test_cfg.min_score) == ("rect", 0.85)


def test_run_names():
    assert run_name("config/kkd/r50_ctw.py") == "kkd_r50_ctw"
    assert run_name(Path("/somewhere/config/kkd/r50_ctw.py")) == "kkd_r50_ctw"
    assert run_name("mine.py") == "mine"


def test_schedules():
    assert poly(0, 100) == 1 and poly(100, 100) == 0
    assert poly(50, 100) == pytest.approx(0.5**0.9)
    factors = [multistep(step, [200, 400]) for step in (0, 199, 200, 399, 400)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])
