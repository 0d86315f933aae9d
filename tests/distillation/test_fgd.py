"""FGD's terms against literal references and finite differences, and its learner on small stand-in detectors."""

import numpy as np
import pytest
import torch
from small_detectors import CHANNELS, SmallDetector, random_batch, trained_contexts
from torch import Tensor

from distillation.fgd import FGDDistiller
from distillation.fgd_terms import FGDTerms, attentions
from errors import InputError
from reference import fgd as reference
from reference.fgd import level_terms, numbers

WEIGHTS = dict(foreground=1e-3, background=5e-4, object=0.0, attention=5e-4, relation=5e-6)


@pytest.mark.parametrize("temperature", [0.5, 0.8])
def test_attentions_equal_their_references(temperature):
    maps = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0)) * 3
    pixels, channels = attentions(maps, temperature)
    for b, own in enumerate(maps.double().numpy()):
        np.testing.assert_allclose(pixels[b], reference.spatial_attention(own, temperature), rtol=1e-5)
        np.testing.assert_allclose(channels[b], reference.channel_attention(own, temperature), rtol=1e-5)
    assert pixels.mean((1, 2)).tolist() == pytest.approx([1, 1]) == channels.mean(1).tolist()


def double_terms(seed: int, **options: float) -> tuple[FGDTerms, Tensor, Tensor, dict[str, Tensor]]:
    torch.manual_seed(seed)
    terms = trained_contexts(FGDTerms(4, **options)).double()
    student, teacher = torch.randn(2, 2, 4, 3, 2, dtype=torch.float64)
    masks = {name: torch.rand(2, 3, 2, dtype=torch.float64) for name in ("foreground", "background", "object")}
    return terms, student, teacher, masks


def test_terms_of_a_level_equal_their_references():
    options = dict(alpha=2.0, beta=3.0, gamma=5.0, lambda_=7.0, object_weight=11.0)
    terms, student, teacher, masks = double_terms(0, temperature=0.8, **options)
    found = terms(student, teacher, masks)
    arrays = {name: mask.numpy() for name, mask in masks.items()}
    expected = reference.fgd(student.numpy(), teacher.numpy(), arrays, 0.8, numbers(terms))
    factors = dict(foreground=2, background=3, attention=5, relation=7, object=11)
    assert {k: v.item() for k, v in found.items()} == pytest.approx({k: factors[k] * v for k, v in expected.items()})


@pytest.mark.parametrize("term", ["foreground", "background", "object", "attention", "relation"])
def test_gradients_equal_finite_differences_of_the_references(term):
    options = dict(alpha=1.0, beta=1.0, gamma=1.0, lambda_=1.0, object_weight=1.0)
    terms, student, teacher, masks = double_terms(1, temperature=0.5, **options)
    terms(student.requires_grad_(), teacher, masks)[term].backward()
    masks, start = {name: mask.numpy() for name, mask in masks.items()}, student.detach().numpy()

    def value(at: tuple[int, ...], step: float) -> float:
        moved = start.copy()
        moved[at] += step
        return reference.fgd(moved, teacher.numpy(), masks, 0.5, numbers(terms))[term]

    for at in list(np.ndindex(start.shape))[::5]:
        slope = (value(at, 1e-5) - value(at, -1e-5)) / 2e-5
        assert student.grad[at].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_context_blocks_begin_as_the_identity():
    torch.manual_seed(0)
    terms = FGDTerms(4)
    student, teacher = torch.randn(2, 1, 4, 3, 3)
    relation = terms(student, teacher, {})["relation"]
    assert relation.item() == pytest.approx(5e-6 * (student - teacher).square().sum().item())


def test_published_weights_are_the_defaults():
    assert FGDTerms(4).weights == WEIGHTS
    assert FGDTerms(4).temperature == 0.5


@pytest.fixture
def learner():
    torch.manual_seed(0)
    teacher = SmallDetector()
    return trained_contexts(FGDDistiller(SmallDetector(), None, [teacher], channels=CHANNELS))


def test_losses_of_the_learner_equal_the_references_summed_over_levels(learner):
    batch = random_batch()
    losses = learner.train()(batch).losses
    student = learner.student(batch.images, batch.sizes, batch.targets)
    teacher = learner.teachers[0](batch.images, batch.sizes)
    boxes = [target["boxes"] for target in batch.targets]
    levels = zip(learner.terms.levels, student.branches[0], teacher.branches[0], (4, 8, 16, 32))
    expected = [level_terms(terms, s, t, boxes, stride) for terms, s, t, stride in levels]
    assert losses.keys() == {"box", "fgd_foreground", "fgd_background", "fgd_attention", "fgd_relation"}
    assert losses["box"] == student.losses["box"]
    for name in expected[0]:
        total = WEIGHTS[name] * sum(level[name] for level in expected)
        assert losses[f"fgd_{name}"].item() == pytest.approx(total, rel=1e-4)


def test_losses_are_means_over_images(learner):
    both, one = random_batch(), random_batch()
    images = [both.images[:1], both.images[1:]]
    alone = []
    for b in range(2):
        one.images, one.targets, one.sizes = images[b], both.targets[b : b + 1], both.sizes[b : b + 1]
        alone.append(learner(one).losses)
    for name, value in learner(both).losses.items():
        if name != "box":
            assert value.item() == pytest.approx((alone[0][name] + alone[1][name]).item() / 2, rel=1e-5)


def test_without_boxes_everything_is_finite_and_trains(learner):
    losses = learner.train()(random_batch([[], []])).losses
    assert losses["fgd_foreground"] == 0 and losses["fgd_background"] > 0
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.requires_grad)


def test_a_teacher_is_its_own_best_student():
    teacher = SmallDetector()
    student = SmallDetector()
    student.load_state_dict(teacher.state_dict())
    learner = FGDDistiller(student, None, [teacher], channels=CHANNELS)
    assert all(value == 0 for name, value in learner(random_batch()).losses.items() if name.startswith("fgd_"))


def test_mixed_precision_computes_the_terms_in_float32(learner):
    exact = learner(random_batch()).losses
    with torch.autocast("cpu", torch.bfloat16):
        rough = learner(random_batch()).losses
    for name in ("fgd_foreground", "fgd_background", "fgd_attention", "fgd_relation"):
        assert rough[name].dtype == torch.float32
        assert rough[name].item() == pytest.approx(exact[name].item(), rel=0.05)


def test_context_blocks_are_trained_but_no_part_of_the_student(learner):
    sum(learner.train()(random_batch()).losses.values()).backward()
    trained = {id(p) for p in learner.parameters() if p.requires_grad}
    assert trained == {id(p) for module in (learner.student, learner.terms) for p in module.parameters()}
    assert all(p.grad is not None for p in learner.parameters() if p.requires_grad)
    assert all(p.grad is None for p in learner.teachers.parameters())
    assert learner.student_state_dict().keys() == SmallDetector().state_dict().keys()


def test_every_network_runs_once(learner):
    calls = []
    for network in (learner.student, learner.teachers[0]):
        network.convs[0][0].register_forward_hook(
            lambda module, *_: calls.append((module.training, torch.is_grad_enabled()))
        )
    learner.train()(random_batch())
    assert sorted(calls) == [(False, False), (True, True)]


def test_mistakes_are_named(learner):
    teacher = SmallDetector()
    with pytest.raises(InputError, match="one teacher, 2 given"):
        FGDDistiller(SmallDetector(), None, [teacher, teacher])
    with pytest.raises(InputError, match=r"P2 .*\(6, 16, 24\).*\(6, 16, 24\).*channels=256"):
        FGDDistiller(SmallDetector(), None, [teacher])(random_batch())
    with pytest.raises(InputError, match=r"P2 of the student is \(4, 16, 24\), of the teacher \(6, 16, 24\)"):
        FGDDistiller(SmallDetector(channels=4), None, [teacher], channels=CHANNELS)(random_batch())
