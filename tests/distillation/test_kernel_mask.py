"""KKD against a literal reference, and what every distiller promises about its teachers and its student."""

import numpy as np
import pytest
import torch
from text_networks import random_batch, small_model

from distillation import KernelMaskDistiller, Supervised, kernel_mask_loss
from errors import InputError
from models import PANLoss, build_detector, stream
from reference import text_losses as reference


@pytest.fixture
def parts():
    torch.manual_seed(0)
    teacher = build_detector(small_model(adapter=False, depth=50))
    student = build_detector(small_model())
    return student, PANLoss(), [teacher]


@pytest.mark.parametrize("stalls", [False, True])  # as on a CPU, and as on a GPU
def test_kernel_mask_loss_equals_its_reference(stalls, monkeypatch):
    monkeypatch.setattr(stream, "stalls", lambda tensor: stalls)
    rng = np.random.default_rng(0)
    student, teacher = (rng.normal(0, 2, (2, 5, 8, 6)).astype(np.float32) for _ in range(2))
    kernel = (rng.random((2, 32, 24)) < 0.5).astype(np.float32)
    mask = torch.nn.functional.interpolate(torch.from_numpy(kernel)[:, None], scale_factor=0.25, mode="bilinear")
    found = kernel_mask_loss(torch.from_numpy(student), torch.from_numpy(teacher), mask[:, 0])
    expected = [reference.kernel_mask(*maps) for maps in zip(student, teacher, kernel)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reduction, weight", [("sum", 1.0), ("mean", 0.5)])
def test_distiller_terms_equal_the_reference(parts, reduction, weight):
    learner = KernelMaskDistiller(*parts, weight=weight, divisor=3.0, batch_reduction=reduction).eval()
    batch = random_batch()
    with torch.no_grad():
        result = learner(batch)
        student, teacher = learner.student(batch.images), learner.teachers[0](batch.images)
    for name, field in (("kkd_feature", "fused"), ("kkd_response", "logits")):
        pairs = zip(getattr(student, field).numpy(), getattr(teacher, field).numpy(), batch.kernels[:, 0].numpy())
        expected = weight / 3.0 * getattr(np, reduction)([reference.kernel_mask(*pair) for pair in pairs])
        assert result.losses[name].item() == pytest.approx(expected, rel=1e-4)


def test_published_values_are_the_defaults(parts):
    assert KernelMaskDistiller(*parts).scale == pytest.approx(1 / 6)
    student, _, teachers = parts
    assert KernelMaskDistiller(student, PANLoss(embedding_weight=0), teachers).scale == pytest.approx(0.5 / 6)


def test_a_teacher_is_its_own_best_student(parts):
    _, loss, teachers = parts
    reference_student = build_detector(small_model(adapter=False, depth=50))
    reference_student.load_state_dict(teachers[0].state_dict())
    learner = KernelMaskDistiller(reference_student, loss, teachers).eval()
    losses = learner(random_batch()).losses
    assert losses["kkd_feature"] < 1e-12 and losses["kkd_response"] < 1e-12  # the teacher's batch norms are folded


def test_teacher_stays_frozen_in_evaluation_mode(parts):
    learner = KernelMaskDistiller(*parts)
    learner.train()
    assert learner.student.training and not any(m.training for m in learner.teachers.modules())
    before = {k: v.clone() for k, v in learner.teachers.state_dict().items()}
    result = learner(random_batch())
    sum(result.losses.values()).backward()
    assert all(p.grad is None for p in learner.teachers.parameters())
    trained = [p for p in learner.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    assert {id(p) for p in trained} == {id(p) for p in learner.student.parameters()}
    torch.optim.SGD(trained, 0.1).step()
    assert all(torch.equal(v, before[k]) for k, v in learner.teachers.state_dict().items())


def test_teachers_may_have_a_precision_of_their_own(parts):
    learner, batch = KernelMaskDistiller(*parts).eval(), random_batch()
    whole = learner(batch).losses
    learner.teacher_dtype = torch.bfloat16
    mixed = learner(batch).losses
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        taught = learner.teachers[0](batch.images)
    expected = learner.terms(learner.student(batch.images), taught, batch, 1)
    for name, value in whole.items():
        if name in expected:
            assert mixed[name] == expected[name] != value
            assert mixed[name].item() == pytest.approx(value.item(), rel=0.05)
        else:
            assert torch.equal(mixed[name], value)  # the student's own losses know nothing of it
    with torch.autocast("cpu", torch.bfloat16):
        learner.teacher_dtype = None
        with learner.teaching(batch.images):
            assert torch.equal(learner.teachers[0](batch.images).logits, taught.logits)
        learner.teacher_dtype = torch.float32
        with learner.teaching(batch.images):
            assert learner.teachers[0](batch.images).logits.dtype == torch.float32


def test_student_state_holds_neither_teacher_nor_helpers(parts):
    learner = KernelMaskDistiller(*parts)
    learner.helper = torch.nn.Linear(2, 2)
    bare = build_detector(small_model())
    assert set(learner.student_state_dict()) == set(bare.state_dict())


def test_no_teacher_is_refused(parts):
    student, loss, _ = parts
    with pytest.raises(InputError, match="no teacher"):
        KernelMaskDistiller(student, loss, [])


def test_a_narrower_student_is_compared_through_a_projection_of_its_feature(parts):
    _, loss, teachers = parts
    torch.manual_seed(1)
    narrow = build_detector(small_model(channels=8))
    learner = KernelMaskDistiller(narrow, loss, teachers, weight=1.0, divisor=3.0).eval()
    batch = random_batch()
    result = learner(batch)
    with torch.no_grad():
        own, taught = narrow(batch.images).fused, learner.teachers[0](batch.images).fused
        weight, bias = learner.feature_match[0].weight[:, :, 0, 0], learner.feature_match[0].bias
        seen = torch.einsum("oc,bchw->bohw", weight, own) + bias[:, None, None]
    assert (own.shape[1], taught.shape[1], seen.shape) == (32, 64, taught.shape)
    pairs = zip(seen.numpy(), taught.numpy(), batch.kernels[:, 0].numpy())
    expected = sum(reference.kernel_mask(*pair) for pair in pairs) / 3
    assert result.losses["kkd_feature"].item() == pytest.approx(expected, rel=1e-4)
    result.losses["kkd_feature"].backward()
    assert learner.feature_match[0].weight.grad.abs().max() > 0
    assert set(learner.student_state_dict()) == set(build_detector(small_model(channels=8)).state_dict())


def test_equal_channels_and_left_out_features_need_no_projection(parts):
    _, loss, teachers = parts
    assert [*KernelMaskDistiller(*parts).feature_match.parameters()] == []
    narrow = build_detector(small_model(channels=8))  # parameters that no term uses would end distributed training
    assert not hasattr(KernelMaskDistiller(narrow, loss, teachers, feature_weight=0.0), "feature_match")


def test_supervised_learner_returns_the_losses_of_its_student(parts):
    student, loss, _ = parts
    learner, batch = Supervised(student, loss).eval(), random_batch()
    maps = student(batch.images).logits
    expected, _ = loss(maps, batch.text, batch.kernels, batch.training_mask, batch.instances)
    assert learner(batch).losses == expected
