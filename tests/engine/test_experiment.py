"""A config turned into settings: what it may name, who hands over the rest, and how often anything is read."""

from __future__ import annotations

import argparse
import copy
from collections import Counter

import pytest
import torch
from conftest import ROOT

from dataset import PARSERS, CocoDataset, ObjectTestTransform, TestTransform, TrainTransform
from dataset.text.parsers.ctw1500 import CTW1500
from distillation import LEARNERS, KernelMaskDistiller
from engine import cli
from engine.experiment import experiment_of, load_experiment
from engine.training.run import build_learner
from errors import InputError
from models import MODELS, build_detector
from models.objects.fpn import FPN


@pytest.fixture
def registered():
    """Registers a class in a registry for the time of a test."""
    added = []

    def register(registry, kind):
        registry.register_module(module=kind)
        added.append((registry, kind.__name__))
        return kind

    yield register
    for registry, name in added:
        del registry.module_dict[name]


@pytest.fixture
def distill(configs, tmp_path):
    """Sections of a distillation whose teacher is trained."""
    config = load_experiment(configs["distill"]).config
    checkpoint = tmp_path / "teacher.pth.tar"
    torch.manual_seed(0)
    torch.save({"state_dict": build_detector(load_experiment(configs["teacher"]).model).state_dict()}, checkpoint)
    config["distiller"]["teachers"][0]["checkpoint"] = str(checkpoint)
    return config


def test_sections_become_settings(configs):
    options = ["data.num_workers=3", "train_cfg.lr=0.5", "test_cfg.min_score=0.25", "data.test.root=elsewhere"]
    cfg = load_experiment(configs["distill"], [*options, "distiller.weight=0.5"])
    assert (cfg.data.batch_size, cfg.data.num_workers) == (2, 3)
    train, test = cfg.data.train, cfg.data.test
    assert (train.reader, train.options, str(train.root)) == (CTW1500, {"split": "train"}, cfg.data.root)
    assert (test.options, str(test.root), test.transform.short_size) == ({"split": "test"}, "elsewhere", 64)
    assert isinstance(train.transform, TrainTransform) and isinstance(test.transform, TestTransform)
    assert (cfg.train_cfg.lr, cfg.train_cfg.epoch, cfg.test_cfg.min_score) == (0.5, 2, 0.25)
    assert (cfg.distiller.kind, cfg.distiller.options) == (KernelMaskDistiller, {"weight": 0.5})
    [teacher] = cfg.distiller.teachers
    assert (teacher.config, teacher.checkpoint) == (configs["teacher"].as_posix(), "none.pth.tar")
    assert cfg.config["train_cfg"]["lr"] == 0.5  # what checkpoints keep
    objects = load_experiment(ROOT / "config/multineck/faster_r50_coco.py")
    assert objects.data.test.reader is CocoDataset and isinstance(objects.data.test.transform, ObjectTestTransform)


def test_the_seed_of_the_command_line_is_that_of_the_run(configs):
    args = argparse.Namespace(config=configs["student"], cfg_options=["train_cfg.seed=1"], seed=7)
    cfg = cli.load(args, ["train_cfg.seed=2", "train_cfg.lr=0.25"])
    assert cfg.train_cfg.seed == cfg.config["train_cfg"]["seed"] == 7 and cfg.train_cfg.lr == 0.25
    args.seed = None
    assert cli.load(args, ["train_cfg.seed=2"]).train_cfg.seed == 1


def test_a_distiller_of_an_ordinary_signature(distill, registered):
    class Passing(KernelMaskDistiller):
        def __init__(self, *core, weight=1.0, **more):
            super().__init__(*core, weight=weight / 2, **more)

    registered(LEARNERS, Passing)
    section = distill["distiller"] | {"type": "Passing", "weight": 3.0, "divisor": 4.0}
    learner = build_learner(experiment_of({**distill, "distiller": section}, "c.py"))
    plain = {**section, "type": "KernelMaskDistiller", "weight": 1.5}
    assert learner.scale == build_learner(experiment_of({**distill, "distiller": plain}, "c.py")).scale
    for key in ("student", "loss", "divisr"):
        with pytest.raises(InputError, match=f"unknown key 'distiller.{key}'"):
            experiment_of({**distill, "distiller": {**section, key: 1}}, "c.py")


def test_a_distiller_may_have_an_argument_that_others_are_handed(distill, registered):
    class Own(KernelMaskDistiller):
        def __init__(self, *core, centers=None, **more):
            super().__init__(*core, **more)
            self.given_centers = centers

    registered(LEARNERS, Own)
    section = distill["distiller"] | {"type": "Own", "centers": [1, 2]}
    assert build_learner(experiment_of({**distill, "distiller": section}, "c.py")).given_centers == [1, 2]


def test_a_parser_with_arguments_of_any_name(configs, registered, ctw_root):
    class Other(CTW1500):
        def __init__(self, *place, transform="none", student=0, **more):
            super().__init__(*place, **more)
            self.seen = transform, student

    registered(PARSERS, Other)
    config = copy.deepcopy(load_experiment(configs["student"]).config)
    config["data"]["train"] |= {"type": "Other", "transform": "rotate", "student": 3}
    cfg = experiment_of(config, "c.py")
    dataset = cfg.task.train_set(cfg.data.train, seed=0)
    assert dataset.parser.seen == ("rotate", 3) and len(dataset) == 6
    config["data"]["train"]["tranform"] = 1
    with pytest.raises(InputError, match=r"data\.train\.tranform'; did you mean 'transform'"):
        experiment_of(config, "c.py")


def test_a_neck_that_passes_its_arguments_on(registered):
    class Wider(FPN):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    registered(MODELS, Wider)
    options = ["model.neck.type=Wider", "model.backbone.depth=18", "model.backbone.pretrained=None"]
    cfg = load_experiment(ROOT / "config/multineck/faster_r50_coco.py", options)
    with torch.device("meta"):
        assert isinstance(build_detector(cfg.model).backbone["fpn"], Wider)


def test_every_config_is_read_and_every_teacher_loaded_once(distill, monkeypatch):
    read, loaded = Counter(), Counter()
    original, load = torch.load, torch.nn.Module.load_state_dict

    def counted(path, *args, **kwargs):
        read[str(path)] += 1
        return original(path, *args, **kwargs)

    def counted_load(self, *args, **kwargs):
        loaded[type(self).__name__] += 1
        return load(self, *args, **kwargs)

    monkeypatch.setattr(torch, "load", counted)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", counted_load)
    build_learner(experiment_of(distill, "c.py"))
    assert sum(read.values()) == 1 and loaded == {"TextDetector": 1}


def test_a_teacher_is_built_from_its_config_and_its_own_options(distill):
    entry = distill["distiller"]["teachers"][0]
    assert build_learner(experiment_of(distill, "c.py")).teachers[0].head.conv1.out_channels == 16
    entry["cfg_options"] = ["model.head.hidden=8"]
    with pytest.raises(InputError, match=r"teacher 1, .*teacher\.pth\.tar: .*head\.conv1"):
        build_learner(experiment_of(distill, "c.py"))
