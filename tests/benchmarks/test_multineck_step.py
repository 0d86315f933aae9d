"""The benchmark of the multi-neck step compares two ways to the same losses."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from multineck_step import DEMO, OneByOne, networks, random_batch, step

from engine.experiment import load_experiment


def test_both_ways_give_the_same_losses(monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = load_experiment(DEMO)
    batch = random_batch((2, 64, 64), cfg.model["num_classes"])
    learner, teachers = networks(cfg, (), batch.images)
    one_by_one = OneByOne(learner, teachers)
    ours = step(lambda batch: learner(batch).losses, learner, batch, False)()
    reference = step(one_by_one.losses, one_by_one, batch, False)()
    assert ours.keys() == reference.keys() and len(ours) > 8
    assert ours == pytest.approx(reference, rel=1e-4)
