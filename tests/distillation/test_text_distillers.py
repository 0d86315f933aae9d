"""What all distillers of text detectors promise."""

import pytest
import torch
from small_detectors import trained_contexts
from text_learners import METHODS, learner_of, networks, outputs
from text_networks import random_batch, small_model

from distillation import (
    FeatureMSEDistiller,
    KernelMaskDistiller,
)
from errors import InputError
from models import PANLoss, build_detector


@pytest.mark.parametrize("method", METHODS)
def test_a_step_trains_the_student_and_nothing_of_the_teacher(method):
    learner = learner_of(method).train()
    before = {key: value.clone() for key, value in learner.teachers.state_dict().items()}
    losses = learner(random_batch()).losses
    own = [value for name, value in losses.items() if name not in ("text", "kernel", "embedding")]
    sum(own).backward()
    assert any(p.grad is not None and p.grad.any() for p in learner.student.backbone.parameters())
    assert all(p.grad is None for p in learner.teachers.parameters())
    torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], 0.1).step()
    assert all(torch.equal(value, before[key]) for key, value in learner.teachers.state_dict().items())
    assert set(learner.student_state_dict()) == set(build_detector(small_model()).state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_two_teachers_have_terms_of_their_own(method):
    student, *teachers = networks(small_model(), *[small_model(adapter=False, depth=depth) for depth in (18, 50)])
    kind, options = METHODS[method]
    both = trained_contexts(kind(student, PANLoss(), teachers, **options, teacher_weights=[0.25, 0.75])).eval()
    losses = both(random_batch()).losses
    task, counted = {"text", "kernel", "embedding"}, 0
    for index, weight in enumerate((0.25, 0.75)):
        one = kind(student, PANLoss(), teachers[index : index + 1], **options).eval()
        if method == "fgd":  # each teacher has context blocks of its own
            one.pyramids[0].load_state_dict(both.pyramids[index].state_dict())
        elif method == "mgd":
            one.generate[0].load_state_dict(both.generate[index].state_dict())
        alone = {name: value for name, value in one(random_batch()).losses.items() if name not in task}
        counted += len(alone)
        for name, value in alone.items():
            assert losses[f"{name}_{index + 1}"].item() == pytest.approx(weight * value.item(), rel=1e-4)
    assert counted == len(losses) - len(task)


@pytest.mark.parametrize("method", ["kkd", "cwd", "response", "soft_maps"])
def test_output_maps_that_differ_are_refused(method):
    other = {**small_model(), "head": dict(type="PSENetHead", hidden=8)}
    student, teacher = networks(other, small_model(adapter=False, depth=50))
    kind, options = METHODS[method]
    learner = kind(student, PANLoss(), [teacher], **options)
    learner.supervise = lambda logits, batch: ({}, {})
    with pytest.raises(InputError, match=r"of teacher 1 \("):
        learner(random_batch())


@pytest.mark.parametrize("method", METHODS)
def test_a_narrower_student_learns_through_projections_of_its_features(method):
    student, teacher = networks(small_model(channels=8), small_model(adapter=False, depth=50))
    kind, options = METHODS[method]
    learner = kind(student, PANLoss(), [teacher], **options).train()
    losses = learner(random_batch()).losses
    sum(value for name, value in losses.items() if name not in ("text", "kernel", "embedding")).backward()
    assert any(p.grad is not None and p.grad.any() for p in student.backbone.parameters())
    added = [p for name, p in learner.named_parameters() if "_match" in name]
    if method == "mgd":
        added += [*learner.generate.parameters()]
    assert bool(added) == (method not in ("response", "soft_maps"))
    assert all(p.grad is not None for p in added)
    assert set(learner.student_state_dict()) == set(build_detector(small_model(channels=8)).state_dict())


def test_a_projected_feature_is_the_one_that_is_compared():
    student, teacher = networks(small_model(channels=8), small_model(adapter=False, depth=50))
    learner, batch = FeatureMSEDistiller(student, PANLoss(), [teacher]).eval(), random_batch()
    learnt, taught = outputs(learner, batch)
    with torch.no_grad():
        expected = (learner.feature_match[0](learnt.fused) - taught.fused).square().mean()
        assert learner(batch).losses["feature_mse"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_maps_of_another_meaning_are_refused():
    student, teacher = networks(
        {**small_model(), "head": dict(type="PSENetHead", hidden=8, kernel_num=6)}, small_model(adapter=False)
    )
    with pytest.raises(InputError, match=r"student predicts .*'kernel'\), teacher 1 .*'embedding'\)"):
        KernelMaskDistiller(student, PANLoss(), [teacher])
