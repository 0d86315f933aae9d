"""Standardised maps, and what compares them: PKD, and FGD's terms with `normalisation`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_detectors import CHANNELS, SmallDetector, random_batch, trained_contexts
from torch import Tensor

from distillation.fgd import FGDDistiller
from distillation.fgd_terms import PyramidTerms, box_masks, standardised
from distillation.pearson import PearsonDistiller, pearson_loss
from errors import InputError


def maps(seed: int, *shape: int) -> Tensor:
    return torch.randn(*(shape or (2, 5, 4, 3)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def literal(features: np.ndarray) -> np.ndarray:
    """Channel by channel, over all pixels of the batch."""
    out = np.empty_like(features)
    for channel in range(features.shape[1]):
        own = features[:, channel]
        out[:, channel] = (own - own.mean()) / np.sqrt(((own - own.mean()) ** 2).mean())
    return out


def test_standardised_maps_equal_their_reference():
    features = maps(0) * 7 + 3
    np.testing.assert_allclose(standardised(features), literal(features.numpy()), rtol=1e-5)
    assert torch.autograd.gradcheck(standardised, (maps(1, 2, 2, 2, 2).requires_grad_(),))


def test_a_constant_channel_is_finite():
    flat = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    standardised(flat).sum().backward()
    assert (standardised(flat) == 0).all() and flat.grad.isfinite().all()


def test_the_loss_is_one_minus_the_correlation_of_each_channel():
    student, teacher = maps(0), maps(1)
    pairs = [(student[:, c].numpy().ravel(), teacher[:, c].numpy().ravel()) for c in range(student.shape[1])]
    expected = np.mean([1 - np.corrcoef(*pair)[0, 1] for pair in pairs])
    assert pearson_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)
    assert pearson_loss(student, -student).item() == pytest.approx(2, rel=1e-4)


@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 9))
def test_scale_and_offset_of_either_network_play_no_part(factor, offset, seed):
    student, teacher = maps(seed), maps(seed + 10)
    expected = pytest.approx(pearson_loss(student, teacher).item(), abs=2e-3)
    assert pearson_loss(student, factor * teacher + offset).item() == expected
    assert pearson_loss(factor * student + offset, teacher).item() == expected


def detectors(teachers: int, branches: int) -> tuple[SmallDetector, list[SmallDetector]]:
    torch.manual_seed(0)
    return SmallDetector(branches), [SmallDetector() for _ in range(teachers)]


@pytest.mark.parametrize("branches", [1, 2])
def test_one_teacher_teaches_what_rpn_and_heads_use(branches):
    student, [teacher] = detectors(1, branches)
    batch = random_batch()
    losses = PearsonDistiller(student, None, [teacher], weight=3.0).train()(batch).losses
    pyramid = zip(student.features(batch.images)[0].values(), teacher.features(batch.images)[0].values())
    assert losses.keys() == {"box", "pearson"}
    assert losses["pearson"].item() == pytest.approx(3 * sum(pearson_loss(*pair).item() for pair in pyramid), rel=1e-5)


def test_each_of_several_teachers_teaches_its_branch():
    student, teachers = detectors(2, 2)
    batch = random_batch()
    losses = PearsonDistiller(student, None, teachers).train()(batch).losses
    assert losses.keys() == {"box", "pearson_1", "pearson_2"}
    for number, (branch, teacher) in enumerate(zip(student.features(batch.images)[1], teachers), 1):
        taught = teacher.features(batch.images)[1][0]
        expected = 3 * sum(pearson_loss(*pair).item() for pair in zip(branch, taught))  # half of 6
        assert losses[f"pearson_{number}"].item() == pytest.approx(expected, rel=1e-5)


def test_fgd_teaches_what_rpn_and_heads_use():
    student, [teacher] = detectors(1, 2)
    learner = trained_contexts(FGDDistiller(student, None, [teacher], channels=CHANNELS)).train()
    batch = random_batch()
    found = learner(batch).losses
    taught = teacher.features(batch.images)[1][0]
    masks = box_masks([target["boxes"] for target in batch.targets], taught)
    expected = learner.terms([*student.features(batch.images)[0].values()], taught, masks)
    assert {name: found[f"fgd_{name}"].item() for name in expected} == {k: v.item() for k, v in expected.items()}


@pytest.mark.parametrize("kind, options", [(PearsonDistiller, {}), (FGDDistiller, {"channels": CHANNELS})])
def test_a_teacher_with_a_multi_neck_teaches_with_what_its_rpn_uses(kind, options):
    student, _ = detectors(1, 1)
    teacher, batch = SmallDetector(branches=2), random_batch()
    found = trained_contexts(kind(student, None, [teacher], **options)).train()(batch).losses
    with torch.no_grad():  # the same pyramid from one branch: both convolutions added up
        for one, two in zip(*teacher.convs):
            one.weight += two.weight
            one.bias += two.bias
            two.weight.zero_()
            two.bias.zero_()
    torch.manual_seed(0)
    same = trained_contexts(kind(student, None, [teacher], **options)).train()(batch).losses
    for name in ("pearson", "fgd_foreground", "fgd_background", "fgd_attention"):
        if name in found:
            assert found[name].item() == pytest.approx(same[name].item(), rel=1e-4)


def test_normalised_terms_are_those_of_standardised_maps():
    torch.manual_seed(0)
    plain = trained_contexts(PyramidTerms(4, object_weight=1.0))
    torch.manual_seed(0)
    normalised = trained_contexts(PyramidTerms(4, "standard", object_weight=1.0))
    student, teacher = ([maps(seed + i, 2, 4, 6, 5).float() for i in range(4)] for seed in (0, 10))
    names = ("foreground", "background", "object")
    masks = [{name: torch.rand(2, 6, 5) for name in names} for _ in range(4)]
    found = normalised(student, [12 * level - 5 for level in teacher], masks)
    expected = plain(*([standardised(level) for level in levels] for levels in (student, teacher)), masks)
    assert {k: v.item() for k, v in found.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-4
    )


def test_mistakes_are_named():
    student, teachers = detectors(2, 1)
    with pytest.raises(InputError, match="1 branches for 2 teachers"):
        PearsonDistiller(student, None, teachers).train()(random_batch())
    with pytest.raises(InputError, match=r"P2 of the student is \(4, 16, 24\), of the teacher \(6, 16, 24\); all"):
        PearsonDistiller(SmallDetector(channels=4), None, teachers[:1]).train()(random_batch())
    with pytest.raises(InputError, match=r"distiller\.normalisation='max': give one of none, standard"):
        FGDDistiller(student, None, teachers[:1], normalisation="max")
