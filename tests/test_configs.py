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


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_shipped_config_builds_and_steps(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = load_config(path)
    for i, teacher in enumerate(cfg.get("distiller", {}).get("teachers", [])):
        checkpoint = tmp_path / f"teacher{i}.pth.tar"
        torch.save({"state_dict": build_detector(load_config(teacher.config).model).state_dict()}, checkpoint)
        teacher.checkpoint = str(checkpoint)
    learner = build_learner(cfg)
    [optimizer] = [TrainingModule(learner, train_settings(cfg), 1).configure_optimizers()["optimizer"]]
    before = learner.student.head.conv2.weight.detach().clone()
    losses = learner(random_batch()).losses
    sum(losses.values()).backward()
    optimizer.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert not torch.equal(before, learner.student.head.conv2.weight)
    test_settings(cfg)


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
    assert load_config(ROOT / "config/kkd/r18_ctw.py").test_cfg.min_score == 0.88


def test_run_names():
    assert run_name("config/kkd/r50_ctw.py") == "kkd_r50_ctw"
    assert run_name(Path("/somewhere/config/kkd/r50_ctw.py")) == "kkd_r50_ctw"
    assert run_name("mine.py") == "mine"


def test_schedules():
    assert poly(0, 100) == 1 and poly(100, 100) == 0
    assert poly(50, 100) == pytest.approx(0.5**0.9)
    factors = [multistep(step, [200, 400]) for step in (0, 199, 200, 399, 400)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])
