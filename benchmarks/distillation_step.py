"""One step of kernel-mask distillation, ResNet-50 to ResNet-18: time and peak memory: `distillation_step.py`.

The reference is the step written down plainly: both networks as published (reference/published_networks.py), the losses
one image and one instance at a time, features normalised and compared everywhere and then masked, Adam.
`--peak KIND` runs two steps of one kind alone and prints how much they raised the memory of the process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from harness import ROOT, Row, compare, main, peak_memory

from dataset import TextBatch
from distillation import KernelMaskDistiller, Learner
from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector
from models import LOSSES
from models.text.published import translate
from reference import text_losses
from reference.published_networks import KKDNet, randomise, resize

BATCH, SIDE, INSTANCES = 4, 320, 12
KINDS = ("ours, float32", "ours, bf16", "reference, float32")  # whose peak memory is measured


def random_batch(batch: int = BATCH, side: int = SIDE, seed: int = 0) -> TextBatch:
    """Noise with `INSTANCES` slanted stripes in each image; kernels are the stripes shrunk by 3 pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    instances = np.zeros((batch, side, side), np.uint8)
    kernels = np.zeros((batch, 1, side, side), np.uint8)
    for image, kernel in zip(instances, kernels[:, 0]):
        for number in range(1, INSTANCES + 1):
            left, top = rng.uniform(0, side - 90), rng.uniform(20, side - 20)
            across, along = np.abs(y - top - rng.uniform(-0.2, 0.2) * (x - left)), np.abs(x - left - 45)
            image[(across < 12) & (along < 45)] = number
            kernel[(across < 9) & (along < 42)] = 1
    text = torch.from_numpy((instances > 0).astype(np.uint8))
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))
    kernels = torch.from_numpy(kernels) * text[:, None]
    names = [str(i) for i in range(batch)]
    return TextBatch(images, text, kernels, torch.ones_like(text), torch.from_numpy(instances), names)


def networks() -> tuple[KKDNet, KKDNet]:
    """The reference's teacher and student, from fixed random weights."""
    return randomise(KKDNet(50, student=False), 1), randomise(KKDNet(18), 2)


def our_learner(teacher: KKDNet, student: KKDNet) -> Learner:
    """KernelMaskDistiller as in config/kkd/distill_ctw.py, with copies of the reference's weights."""
    cfgs = [load_experiment(ROOT / f"config/kkd/{name}.py", []) for name in ("r50_ctw", "r18_ctw")]
    detectors = [new_detector(cfg.model, pretrained=False) for cfg in cfgs]
    for detector, network in zip(detectors, (teacher, student)):
        detector.load_state_dict(translate(network.state_dict(), detector.state_dict()).state)
    taught, learns = detectors
    learner = KernelMaskDistiller(learns, LOSSES.build(cfgs[1].loss), [taught])
    return learner.to(memory_format=torch.channels_last).train()


def adam(learner: Learner, lr: float = 1e-4) -> torch.optim.Optimizer:
    """The optimiser as the engine makes it."""
    return torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=lr, fused=True)


def stepper(
    learner: Learner, batch: TextBatch, optimizer: torch.optim.Optimizer, bf16: bool = False
) -> Callable[[], float]:
    """A function that takes a step of training as the engine does and returns the loss."""
    batch.images = batch.images.contiguous(memory_format=torch.channels_last)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            total = torch.stack(list(learner(batch).losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return step


def reference_stepper(teacher: KKDNet, student: KKDNet, batch: TextBatch) -> Callable[[], float]:
    """The same, plainly."""
    teacher.requires_grad_(False).eval()
    student.train()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-4, foreach=False)
    images = batch.images.contiguous()

    def step() -> float:
        taught, learnt = teacher.maps(images), student.maps(images)
        logits = resize(learnt[1], images)
        total = text_losses.pan_loss(logits, batch.text, batch.kernels, batch.training_mask, batch.instances)
        total = total + kernel_mask_term(learnt, taught, batch.kernels)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return step


def kernel_mask_term(learnt: tuple, taught: tuple, kernels: torch.Tensor) -> torch.Tensor:
    """The two terms of the text features and of the output maps, as published: over all pixels, masked afterwards."""
    mask, total = F.interpolate(kernels.float(), scale_factor=0.25, mode="bilinear", align_corners=False), 0.0
    for student, teacher in zip(learnt, taught):
        difference = F.normalize(teacher) * mask - F.normalize(student) * mask
        total = total + (0.5 * difference**2).sum() / student[0].numel()
    return total / 6


def same_loss(tolerance: float) -> Callable[[float, float], str]:
    """Compares the losses of the first step."""

    def check(ours: float, reference: float) -> str:
        difference = abs(ours - reference) / abs(reference)
        assert difference <= tolerance, f"loss {ours} against {reference}"
        return f"loss of the first step differs by {difference:.1e} of it"

    return check


def measure() -> list[Row]:
    peaks = {kind: peak_of(kind) for kind in KINDS}  # first: a process starts with the peak of the one that starts it
    rows, batch = [], random_batch()
    precisions = {"float32": (False, None), "float32, teacher in bf16": (False, torch.bfloat16), "bf16": (True, None)}
    for name, (bf16, teacher_dtype) in precisions.items():
        teacher, student = networks()
        learner = our_learner(teacher, student)
        learner.teacher_dtype = teacher_dtype
        ours = stepper(learner, random_batch(), adam(learner), bf16)
        reference = reference_stepper(teacher, student, batch)
        work = f"distillation step R50 → R18, {BATCH}×{SIDE}², {name}"
        tolerance = 1e-2 if bf16 else 1e-4
        rows.append(
            compare(work, ours, reference, same_loss(tolerance), reference_name="literal step, float32", seconds=1)
        )
    reference = peaks["reference, float32"]
    for kind, peak in peaks.items():
        if kind.startswith("ours"):
            work = f"peak memory of that step, {kind.removeprefix('ours, ')}"
            rows.append(
                Row(
                    work,
                    peak,
                    "literal step, float32",
                    reference,
                    reference / peak,
                    (reference / peak,) * 2,
                    1,
                    "-",
                    "MB",
                )
            )
    return rows


def peak_of(kind: str) -> float:
    """Megabytes by which the steps raised the peak of a process of their own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--peak", kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(kind: str) -> None:
    teacher, student = networks()
    batch = random_batch()
    if kind.startswith("ours"):
        learner = our_learner(teacher, student)
        del teacher, student
        step = stepper(learner, batch, adam(learner), "bf16" in kind)
    else:
        step = reference_stepper(teacher, student, batch)
    before = peak_memory()
    for _ in range(2):
        step()
    print(peak_memory() - before)


if __name__ == "__main__":
    if "--peak" in sys.argv:
        print_peak(sys.argv[sys.argv.index("--peak") + 1])
    else:
        main(measure, __doc__)
