"""The methods beside KKD, each against a literal reference."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_detectors import trained_contexts
from text_learners import learner_of, networks, outputs, with_ignored_text
from text_networks import fine, random_batch, small_model

from distillation import MutualDistiller, ResponseDistiller, channel_wise_loss
from distillation.fgd_text import instance_boxes
from errors import InputError
from models import PANLoss, PSENetLoss, build_detector
from reference import text_losses as reference
from reference.fgd import level_terms


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0, 4.0]))
def test_channel_wise_loss_equals_its_reference(seed, temperature):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(0, 3, (2, 2, 3, 4, 5)).astype(np.float32)
    found = channel_wise_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    expected = np.mean([reference.channel_wise(*maps, temperature) for maps in zip(student, teacher)])
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_channel_wise_loss_does_not_see_a_shift_of_a_channel():
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert channel_wise_loss(maps + torch.tensor([1.0, -2.0, 5.0])[:, None, None], maps).abs() < 1e-6


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_channel_wise_terms(precision):
    learner, batch = learner_of("cwd", temperature=2.0).eval(), random_batch()
    with torch.autocast("cpu", precision, enabled=precision is torch.bfloat16), torch.no_grad():
        losses = learner(batch).losses
        learnt, taught = outputs(learner, batch)
    for name, weight, field in (("cwd_feature", 50, "fused"), ("cwd_response", 3, "logits")):
        teachers = zip(*(getattr(maps, field).float().numpy() for maps in (learnt, taught)))
        expected = weight * np.mean([reference.channel_wise(*pair, 2.0) for pair in teachers])
        assert losses[name].dtype == torch.float32
        assert losses[name].item() == pytest.approx(expected, rel=1e-4)


def test_a_channel_wise_term_of_no_weight_is_left_out():
    assert "cwd_response" not in learner_of("cwd", response_weight=0.0)(random_batch()).losses


def test_feature_mse_term():
    learner, batch = learner_of("feature_mse", weight=0.25).eval(), random_batch()
    learnt, taught = outputs(learner, batch)
    difference = learnt.fused.double().numpy() - taught.fused.double().numpy()
    assert learner(batch).losses["feature_mse"].item() == pytest.approx(0.25 * (difference**2).mean(), rel=1e-5)


def test_response_term_compares_text_and_kernel_but_no_embedding():
    learner, batch = learner_of("response", weight=2.0).eval(), random_batch()
    learnt, taught = (maps.logits.numpy()[:, :2] for maps in outputs(learner, batch))
    expected = 2 * reference.soft_cross_entropy(learnt, taught)
    assert learner(batch).losses["response_bce"].item() == pytest.approx(expected, rel=1e-5)


def test_response_term_compares_all_maps_of_psenet():
    model = {**small_model(adapter=False), "head": dict(type="PSENetHead", hidden=8)}
    student, teacher = networks(model, model)
    learner = ResponseDistiller(student, PSENetLoss(), [teacher]).eval()
    batch = random_batch(kernels=6)
    learnt, taught = (maps.logits.numpy() for maps in outputs(learner, batch))
    assert learnt.shape[1] == 7
    expected = reference.soft_cross_entropy(learnt, taught)
    assert learner(batch).losses["response_bce"].item() == pytest.approx(expected, rel=1e-5)


def test_masked_generative_term():
    """The generator is given whole pixels or none of them; the difference is summed over the map of an image."""
    learner, batch = learner_of("mgd", masked=0.75, weight=0.25).eval(), random_batch()
    given = []
    learner.generate[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    torch.manual_seed(0)
    losses = learner(batch).losses
    learnt, taught = outputs(learner, batch)
    kept = given[0].abs().sum(1) > 0
    assert kept.float().mean() == pytest.approx(0.25, abs=0.08) and not torch.equal(kept[0], kept[1])
    torch.testing.assert_close(given[0], learnt.fused * kept[:, None])
    first, _, second = learner.generate[0].double()
    with torch.no_grad():
        generated = second(first(given[0].double()).clamp(min=0)).numpy()
    expected = 0.25 * np.mean([((g - t) ** 2).sum() for g, t in zip(generated, taught.fused.double().numpy())])
    assert losses["mgd"].item() == pytest.approx(expected, rel=1e-5)
    torch.manual_seed(1)
    learner.float()(batch)
    assert not torch.equal(given[0] != 0, given[-1] != 0)  # another draw


def mutual(teachers: int, **options):
    student, peer, *others = networks(small_model(), small_model(), *[small_model(adapter=False)] * teachers)
    return MutualDistiller(student, PANLoss(), others, peer=peer, **options)


@pytest.mark.parametrize("teachers", [0, 1, 2])
def test_two_students_learn_from_each_other_and_from_the_teachers(teachers):
    learner, batch = mutual(teachers, peer_weight=0.25, bce_weight=2.0).eval(), with_ignored_text(random_batch())
    with torch.no_grad():
        one, two = learner.student(batch.images).logits, learner.peer(batch.images).logits
        taught = [teacher(batch.images).logits for teacher in learner.teachers]
    losses = learner(batch).losses
    expected = {}
    for prefix, own, other in (("", one, two), ("peer_", two, one)):
        task, _ = PANLoss()(own, batch.text, batch.kernels, batch.training_mask, batch.instances)
        expected |= {prefix + name: value for name, value in task.items()}
        for number, logits in enumerate(taught, 1):
            for name, value in learner.difference(own, logits, mask_of(batch)).items():
                expected[f"{prefix}{name}{f'_{number}' * (teachers > 1)}"] = value / teachers
        for name, value in learner.difference(own, other, mask_of(batch)).items():
            expected[f"{prefix}mutual_{name}"] = 0.25 * value
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-4
    )


def mask_of(batch):
    return torch.from_numpy(np.stack([reference.area_mean(mask) == 1 for mask in batch.training_mask.numpy()]))


def test_a_student_is_not_pulled_towards_its_own_maps():
    """Each term between the students moves one of them: the other is a teacher there."""
    learner = mutual(0, feature_weight=1.0)
    losses = learner(random_batch()).losses
    for name, moved, still in (
        ("mutual_soft_bce", learner.student, learner.peer),
        ("peer_mutual_soft_bce", learner.peer, learner.student),
        ("mutual_soft_feature", learner.student, learner.peer),
        ("peer_mutual_soft_feature", learner.peer, learner.student),
    ):
        learner.zero_grad()
        losses[name].backward(retain_graph=True)
        assert any(p.grad is not None and p.grad.any() for p in moved.parameters())
        assert not any(p.grad is not None and p.grad.any() for p in still.parameters())
    assert set(learner.student_state_dict()) == set(build_detector(small_model()).state_dict())


@pytest.mark.parametrize("change", [dict, fine])
def test_kkd_of_regions_is_a_mean_over_each(change):
    learner, batch = learner_of("kkd", change, mask="regions", weight=0.5).eval(), with_ignored_text(random_batch())
    learnt, taught = outputs(learner, batch)
    masks = batch.kernels[:, 0].numpy(), batch.text.numpy(), batch.training_mask.numpy()
    for name, field in (("kkd_feature", "fused"), ("kkd_response", "logits")):
        expected = 0.5 * reference.region_cosines(
            getattr(learnt, field).numpy(), getattr(taught, field).numpy(), *masks
        )
        assert learner(batch).losses[name].item() == pytest.approx(expected, rel=1e-4)


def test_kkd_of_regions_without_text():
    learner, batch = learner_of("kkd", mask="regions"), random_batch()
    for labels in (batch.text, batch.kernels, batch.instances):
        labels.zero_()
    losses = learner(batch).losses
    sum(losses.values()).backward()
    assert 0 < losses["kkd_feature"] < 2  # of the background alone


@given(st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_boxes_of_instances_equal_their_reference(seed, most):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, most + 1, (2, 5, 7)).astype(np.uint8)
    labels[0, rng.random((5, 7)) < 0.8] = 0
    labels[1, rng.random((5, 7)) < 0.99] = 0  # often without any
    assert [boxes.tolist() for boxes in instance_boxes(torch.from_numpy(labels))] == [
        reference.instance_boxes(image) for image in labels
    ]


def test_fgd_terms_of_text_boxes():
    learner, batch = learner_of("fgd"), random_batch()
    trained_contexts(learner.pyramids).eval()
    losses = learner.eval()(batch).losses
    learnt, taught = outputs(learner, batch)
    weights = dict(foreground=1e-3, background=5e-4, attention=5e-4, relation=5e-6)
    expected = dict.fromkeys(weights, 0.0)
    boxes = [torch.tensor(reference.instance_boxes(labels)) for labels in batch.instances.numpy()]
    levels = zip(learner.pyramids[0].levels, learnt.pyramid, taught.pyramid, (4, 8, 16, 32))
    for terms, student, teacher, stride in levels:
        for name, value in level_terms(terms, student, teacher, boxes, stride).items():
            expected[name] += weights.get(name, 0) * value
    found = {name: losses[f"fgd_{name}"].item() for name in weights}
    assert found == pytest.approx({name: expected[name] for name in weights}, rel=1e-3)


def test_kkd_of_finer_maps_has_a_mask_of_each_size():
    learner, batch = learner_of("kkd", fine).eval(), random_batch()
    learnt, taught = outputs(learner, batch)
    assert learnt.logits.shape[-1] == 2 * learnt.fused.shape[-1]
    for name, field in (("kkd_feature", "fused"), ("kkd_response", "logits")):
        images = zip(getattr(learnt, field).numpy(), getattr(taught, field).numpy(), batch.kernels[:, 0].numpy())
        expected = sum(reference.kernel_mask(*image) for image in images) / 6
        assert learner(batch).losses[name].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mask", ["text", "none"])
def test_other_masks_of_kkd(mask):
    learner, batch = learner_of("kkd", mask=mask).eval(), random_batch()
    area = batch.text if mask == "text" else torch.ones_like(batch.text)
    learnt, taught = outputs(learner, batch)
    images = zip(learnt.fused.numpy(), taught.fused.numpy(), area.numpy())
    expected = sum(reference.kernel_mask(*image) for image in images) / 6
    assert learner(batch).losses["kkd_feature"].item() == pytest.approx(expected, rel=1e-4)


def test_divisor_and_reduction_of_kkd_are_weights():
    batch = random_batch(batch=3)
    plain, divided, averaged = (
        learner_of("kkd", **options).eval()(batch).losses
        for options in ({}, dict(divisor=2.0), dict(batch_reduction="mean"))
    )
    for name in ("kkd_feature", "kkd_response"):
        assert divided[name].item() == pytest.approx(3 * plain[name].item(), rel=1e-5)
        assert averaged[name].item() == pytest.approx(plain[name].item() / 3, rel=1e-5)


@pytest.mark.parametrize("left", ["feature", "response"])
def test_a_kkd_term_of_no_weight_is_left_out(left):
    losses = learner_of("kkd", **{f"{left}_weight": 0.0})(random_batch()).losses
    assert {name for name in losses if name.startswith("kkd")} == {"kkd_feature", "kkd_response"} - {f"kkd_{left}"}


@pytest.mark.parametrize("options", [dict(mask="kernels"), dict(batch_reduction="max")])
def test_unknown_options_of_kkd_are_refused(options):
    with pytest.raises(InputError, match=r"expected one of (kernel, text, none|sum, mean)"):
        learner_of("kkd", **options)
