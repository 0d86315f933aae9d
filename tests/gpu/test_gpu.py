"""What a GPU computes, beside a CPU: `python -m pytest -m gpu`. Without a GPU both are the CPU: that shows they run."""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager

import pytest
import torch
from conftest import run_script
from text_networks import random_batch, small_model
from torch.testing import assert_close

from distillation import KernelMaskDistiller, SoftMapDistiller, Supervised
from models import PANLoss, build_detector
from models.objects.fpn import LEVELS, STRIDES
from models.objects.roi_align import PyramidRoIAlign

pytestmark = pytest.mark.gpu
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def no_waiting():
    """Turns a wait for the GPU into an error."""
    if DEVICE == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def learners() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    student, teacher = build_detector(small_model()), build_detector(small_model(adapter=False, depth=50))
    return {
        "alone": Supervised(copy.deepcopy(student), PANLoss(dense_weight=1.0)),
        "kkd": KernelMaskDistiller(copy.deepcopy(student), PANLoss(), [teacher]),
        "soft maps": SoftMapDistiller(copy.deepcopy(student), PANLoss(), [teacher]),
    }


@pytest.mark.parametrize("name", learners())
def test_losses_and_gradients_are_those_of_a_cpu(name):
    found = {}
    for device in ("cpu", DEVICE):
        learner = learners()[name].to(device).eval()  # batch statistics would add their rounding
        losses = learner(random_batch().to(device)).losses
        gradients = torch.autograd.grad(sum(losses.values()), list(learner.student.head.parameters()))
        found[device] = {key: loss.item() for key, loss in losses.items()}, [g.cpu() for g in gradients]
    (losses, gradients), (expected, wanted) = found[DEVICE], found["cpu"]
    assert losses == pytest.approx(expected, rel=1e-3)
    for gradient, want in zip(gradients, wanted):
        assert_close(gradient, want, rtol=1e-2, atol=1e-4 * float(want.abs().max()) + 1e-7)


@pytest.mark.parametrize("name", learners())
def test_a_step_does_not_wait_for_the_host(name):
    learner, batch = learners()[name].to(DEVICE).train(), random_batch().to(DEVICE)
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], fused=True)

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16):
            losses = learner(batch).losses
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # libraries choose their algorithms
    with no_waiting():
        step()


def test_pooled_regions_are_those_of_a_cpu():
    torch.manual_seed(0)
    maps = {name: torch.randn(2, 8, 128 // stride, 128 // stride) for name, stride in zip(LEVELS, STRIDES)}
    boxes = [torch.rand(20, 2) * 60 for _ in range(2)]
    boxes = [torch.cat([corner, corner + 5 + 60 * torch.rand(20, 2)], 1) for corner in boxes]
    pool, sizes = PyramidRoIAlign(7), [(128, 128)] * 2
    own = pool({name: level.to(DEVICE) for name, level in maps.items()}, [box.to(DEVICE) for box in boxes], sizes)
    assert_close(own.cpu(), pool(maps, boxes, sizes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_training_distilling_and_testing(configs, tmp_path, precision):
    """The scripts from end to end, a run that goes on, and the same detections as on a CPU."""
    place = ["--device", DEVICE, "--precision", precision]
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    run_script("train.py", configs["teacher"], "--work-dir", teacher, *place, "--max-steps", 3)
    run_script("train.py", configs["teacher"], "--work-dir", teacher, *place, "--resume")
    last = "checkpoint_last.pth.tar"
    distil = ["knowledge_distillation_train.py", configs["distill"], "--checkpoint_t", teacher / last]
    run_script(*distil, "--work-dir", student, *place)
    scores = []
    for device in ("cpu", DEVICE):
        folder = tmp_path / f"tested on {device}"
        run_script("test.py", configs["student"], student / last, "--device", device, "--work-dir", folder)
        scores.append(json.loads((folder / "results.json").read_text()))
    assert scores[0]["hmean"] == pytest.approx(scores[1]["hmean"], abs=0.02)
