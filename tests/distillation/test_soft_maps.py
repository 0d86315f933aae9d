"""Soft maps, against literal references."""

import cv2
import numpy as np
import pytest
import torch
from text_learners import learner_of, networks, outputs, with_ignored_text
from text_networks import fine, random_batch, small_model

from distillation import SoftMapDistiller
from models import PANLoss
from reference import text_losses as reference


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_soft_map_terms(temperature):
    learner = learner_of("soft_maps", temperature=temperature, bce_weight=2.0, dice_weight=0.5).eval()
    batch = with_ignored_text(random_batch())
    learnt, taught = (maps.logits.numpy()[:, :2] / temperature for maps in outputs(learner, batch))
    shown = np.stack([reference.area_mean(mask) == 1 for mask in batch.training_mask.numpy()])
    assert 0 < (~shown).sum() == 5 * 8
    bce, dice = reference.soft_maps(learnt, 1 / (1 + np.exp(-taught)), shown)
    losses = learner(batch).losses
    assert losses["soft_bce"].item() == pytest.approx(2 * temperature**2 * bce, rel=1e-5)
    assert losses["soft_dice"].item() == pytest.approx(0.5 * temperature**2 * dice, rel=1e-5)


@pytest.mark.parametrize("finer", ["student", "teacher"])
def test_soft_maps_of_another_stride_are_resized(finer):
    models = (small_model(), fine(small_model())) if finer == "teacher" else (fine(small_model()), small_model())
    student, teacher = networks(*models)
    learner, batch = SoftMapDistiller(student, PANLoss(), [teacher]).eval(), with_ignored_text(random_batch())
    learnt, taught = (maps.logits[:, :2] for maps in outputs(learner, batch))
    assert learnt.shape[-1] == taught.shape[-1] * (2 if finer == "student" else 0.5)
    taught = resized(taught.numpy(), learnt.shape[-1])
    n = 64 // learnt.shape[-1]
    shown = np.stack([reference.area_mean(mask, n) == 1 for mask in batch.training_mask.numpy()])
    bce, dice = reference.soft_maps(learnt.numpy(), 1 / (1 + np.exp(-taught)), shown)
    losses = learner(batch).losses
    assert (losses["soft_bce"].item(), losses["soft_dice"].item()) == pytest.approx((bce, dice), rel=1e-5)


def resized(maps: np.ndarray, side: int) -> np.ndarray:
    """By OpenCV, bilinearly."""
    return np.stack(
        [[cv2.resize(one, (side, side), interpolation=cv2.INTER_LINEAR) for one in image] for image in maps]
    )


def test_soft_maps_of_a_batch_that_is_ignored_throughout_teach_nothing():
    learner, batch = learner_of("soft_maps").train(), random_batch()
    batch.training_mask[:] = 0
    losses = learner(batch).losses
    assert losses["soft_bce"] == 0
    (losses["soft_bce"] + losses["soft_dice"]).backward()
    assert not any(p.grad.any() for p in learner.student.parameters() if p.grad is not None)


def test_a_soft_map_term_of_no_weight_is_left_out():
    losses = learner_of("soft_maps", dice_weight=0.0)(random_batch()).losses
    assert {name for name in losses if name.startswith("soft")} == {"soft_bce"}


def test_a_student_of_a_teacher_with_hard_opinions_learns_them():
    """The gradient vanishes where both agree, and descends to the teacher's maps wherever the student starts."""
    learner = learner_of("soft_maps")
    target = 4 * torch.randn(2, 6, 16, 16, generator=torch.Generator().manual_seed(1))
    own = target.clone().requires_grad_()
    sum(learner.difference(own, target, torch.ones(2, 16, 16)).values()).backward()
    assert own.grad.abs().max() < 1e-6
    own = torch.zeros_like(target, requires_grad=True)
    optimiser = torch.optim.Adam([own], 0.3)
    mask = torch.ones(2, 16, 16)
    mask[:, :8] = 0
    for _ in range(300):
        optimiser.zero_grad()
        sum(learner.difference(own, target, mask).values()).backward()
        optimiser.step()
    assert (own.sigmoid() - target.sigmoid())[:, :2, 8:].abs().max() < 0.02
    assert not own[:, :2, :8].any() and not own[:, 2:].any()  # ignored pixels, embeddings


@pytest.mark.parametrize("finer", [False, True])
def test_the_feature_term_is_a_mean_over_what_the_teacher_takes_for_kernel_text_and_background(finer):
    models = small_model(channels=8), small_model(adapter=False)
    student, teacher = networks(*map(fine, models) if finer else models)
    learner = SoftMapDistiller(student, PANLoss(), [teacher], feature_weight=0.5).eval()
    batch = with_ignored_text(random_batch())
    learnt, taught = outputs(learner, batch)
    learnt = learner.feature_match[0](learnt.fused).detach().double().numpy()  # 32 channels to 64
    given = taught.fused.double().numpy()
    shown = np.stack([reference.area_mean(mask) == 1 for mask in batch.training_mask.numpy()])
    sure = 1 / (1 + np.exp(-taught.logits[:, :2].double().numpy()))
    if finer:
        sure = sure.reshape(2, 2, 16, 2, 16, 2).mean((3, 5))
    totals, weights = np.zeros(3), np.zeros(3)
    for image, y, x in zip(*shown.nonzero()):
        text, kernel = sure[image, :, y, x]
        regions = np.array([min(kernel, text), text - min(kernel, text), 1 - text])
        s, t = learnt[image, :, y, x], given[image, :, y, x]
        totals += regions * (1 - s @ t / np.linalg.norm(s) / np.linalg.norm(t))
        weights += regions
    found = learner(batch).losses
    assert found["soft_feature"].item() == pytest.approx(0.5 * (totals / weights).sum(), rel=1e-4)
    plain = SoftMapDistiller(student, PANLoss(), [teacher]).eval()(batch).losses
    assert {name: value.item() for name, value in found.items() if name != "soft_feature"} == pytest.approx(
        {name: value.item() for name, value in plain.items()}
    )


def test_the_feature_term_reaches_the_student_and_needs_no_labels():
    student, teacher = networks(small_model(), small_model(adapter=False))
    learner = SoftMapDistiller(student, PANLoss(), [teacher], feature_weight=1.0)
    batch = random_batch()
    learner(batch).losses["soft_feature"].backward()
    assert all(p.grad.any() for p in learner.student.neck.fpem1.parameters() if p.dim() == 4)
    term = learner.eval()(batch).losses["soft_feature"].item()
    batch.text[:], batch.kernels[:] = 0, 0
    assert learner(batch).losses["soft_feature"].item() == term > 0
