"""Multi-neck distillation on small stand-in detectors: each branch against its own teacher, term by term."""

import numpy as np
import pytest
import torch
from multineck_learners import build, detections, random_centers
from object_networks import small_rcnn
from small_detectors import CHANNELS, SmallDetector, random_batch, trained_contexts

from distillation.fgd import FGDDistiller
from distillation.fgd_terms import standardised
from distillation.multineck.centers import Centers
from distillation.multineck.learner import MultiNeckDistiller
from errors import InputError
from models.objects.rcnn import build_rcnn
from reference import fgd as reference
from reference.multineck import OneByOne

STRIDES = (4, 8, 16, 32)
WEIGHTS = dict(foreground=1e-3, background=5e-4, attention=5e-4, relation=5e-6)


def expected_terms(learner: MultiNeckDistiller, batch, index: int, centers: Centers) -> dict[str, float]:
    """Terms of a branch without weights, summed over levels, everything taken from teacher `index` alone."""
    student = [level.detach() for level in learner.student(batch.images, batch.sizes, batch.targets).branches[index]]
    teacher = learner.teachers[index](batch.images, batch.sizes)
    pyramid = [level.double().numpy() for level in teacher.pyramid]
    values = [
        [
            reference.centre_value(
                reference.descriptor([level[b] for level in pyramid], box), centers.descriptors[centers.labels == label]
            )
            for box, label in zip(target["boxes"].tolist(), target["labels"].tolist())
        ]
        for b, target in enumerate(batch.targets)
    ]
    total = dict.fromkeys(("foreground", "background", "object", "attention", "relation"), 0.0)
    for terms, own, taught, stride in zip(learner.branches[index].levels, student, pyramid, STRIDES):
        size = taught.shape[-2:]
        masks = {"foreground": [], "background": [], "object": []}
        for b, target in enumerate(batch.targets):
            boxes, found = target["boxes"].tolist(), teacher.detections[b]
            masks["foreground"].append(reference.foreground(boxes, size, stride))
            masks["background"].append(reference.background(boxes, size, stride))
            centre = reference.centre(boxes, values[b], size, stride)
            stacked = reference.proposals(found["boxes"].tolist(), found["scores"].numpy(), size, stride)
            masks["object"].append(reference.object_mask(centre, stacked))
        weights = {key: value.double().numpy() for key, value in terms.state_dict().items()}
        compared = (own.double(), torch.from_numpy(taught))
        if learner.branches[index].standardise:  # the masks are those of the maps as they are
            compared = map(standardised, compared)
        for name, value in reference.fgd(*map(np.asarray, compared), masks, terms.temperature, weights).items():
            total[name] += value
    return total


@pytest.mark.parametrize("weights, normalisation", [(None, "none"), ((0.3, 0.7), "none"), (None, "standard")])
def test_each_branch_learns_from_its_own_teacher(weights, normalisation):
    learner, batch = build(weights=weights, normalisation=normalisation).train(), random_batch()
    losses = learner(batch).losses
    names = [f"branch{i}_{name}" for i in (1, 2) for name in (*WEIGHTS, "object")]
    assert losses.keys() == {"box", *names}
    assert losses["box"] == learner.student(batch.images, batch.sizes, batch.targets).losses["box"]
    for index, weight in enumerate(weights or (0.5, 0.5)):
        expected = expected_terms(learner, batch, index, random_centers(index))
        for name, factor in WEIGHTS.items():
            found = losses[f"branch{index + 1}_{name}"].item()
            assert found == pytest.approx(weight * factor * expected[name], rel=1e-4)
        assert losses[f"branch{index + 1}_object"].item() == pytest.approx(2e-6 * expected["object"], rel=1e-3)


def assert_equal_to_one_by_one(learner: MultiNeckDistiller, teachers: list[torch.nn.Module], batch) -> None:
    """Losses, and gradients of the student."""
    one_by_one = OneByOne(learner, teachers)
    torch.manual_seed(0)  # both draw the same anchors and proposals
    found = learner(batch).losses
    torch.manual_seed(0)
    expected = one_by_one.losses(batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name
    for losses in (found, expected):
        sum(losses.values()).backward()
    for own, other in zip(learner.student.parameters(), one_by_one.student.parameters()):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-4 * other.grad.abs().max().item())


@pytest.mark.parametrize("options", [{}, {"merged_teacher": 1}])
def test_losses_equal_those_of_networks_run_one_by_one(options):
    learner = build(**options).train()
    assert_equal_to_one_by_one(learner, list(learner.teachers), random_batch())


def test_losses_of_detectors_equal_those_of_detectors_run_one_by_one():
    torch.manual_seed(0)
    teachers = [build_rcnn(small_rcnn(heads, detections=150)).train() for heads in ("faster", "cascade")]
    student = build_rcnn(small_rcnn(neck="MultiNeckFPN"))
    batch = random_batch()
    for teacher in teachers:
        for _ in range(5):
            teacher.features(batch.images)  # batch norms have statistics to fold
        for name, parameter in teacher.named_parameters():
            if "cls_score" in name:
                parameter.data.mul_(30)  # scores on both sides of 0.2
    centers = [random_centers(seed) for seed in range(2)]
    learner = trained_contexts(MultiNeckDistiller(student, None, teachers, centers=centers, channels=32)).train()
    for teacher in learner.teachers:
        detections = teacher(batch.images, batch.sizes).detections[0]
        assert "masks" not in detections  # of which nothing is used
        scores = detections["scores"]
        assert 10 < (scores > 0.2).sum() < len(scores) - 10
    assert_equal_to_one_by_one(learner, teachers, batch)


def test_published_values_are_the_defaults():
    terms = build().branches[1].levels[0]
    assert terms.temperature == 0.8
    assert terms.weights == {"object": 2e-6, **{name: 0.5 * value for name, value in WEIGHTS.items()}}


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.0, 1.0]])
def test_a_branch_of_weight_zero_learns_nothing_from_its_teacher(weights):
    losses = build(weights=weights)(random_batch()).losses
    for index, weight in enumerate(weights, 1):
        terms = [losses[f"branch{index}_{name}"].item() for name in (*WEIGHTS, "object")]
        assert all(term > 0 for term in terms) if weight else terms == [0] * 5


@pytest.mark.parametrize("index", [0, 1])
def test_the_merged_pyramid_may_learn_from_one_teacher_as_by_fgd(index):
    learner, batch = build(merged_teacher=index, normalisation="standard").train(), random_batch()
    alone = FGDDistiller(learner.student, None, [learner.teachers[index]], channels=CHANNELS)
    alone.terms = learner.merged
    assert learner.merged.levels[0].weights == {**WEIGHTS, "object": 0} and learner.merged.levels[0].temperature == 0.8
    found, expected = learner(batch).losses, alone(batch).losses
    assert {name for name in found if name.startswith("merged")} == {f"merged_{name}" for name in WEIGHTS}
    assert all(found[f"merged_{name}"].item() == pytest.approx(expected[f"fgd_{name}"].item()) for name in WEIGHTS)
    assert not any(name.startswith("merged") for name in build()(batch).losses)


def test_a_merged_teacher_must_be_one_of_the_teachers():
    with pytest.raises(InputError, match=r"distiller\.merged_teacher=2: expected 0 to 1, or None"):
        build(merged_teacher=2)


@pytest.mark.parametrize("changed", [0, 1])
def test_a_teacher_reaches_its_own_branch_only(changed):
    """Changing a teacher's detections, centres or weights changes the object term of its branch and no other."""
    before = build()(random_batch()).losses
    centers = [random_centers(seed) for seed in range(2)]
    centers[changed] = random_centers(7)
    other_centers = build(centers=centers)(random_batch()).losses
    other_detections, other_weights = build(), build()
    other_detections.teachers[changed].detections = detections(7)
    with torch.no_grad():
        other_weights.teachers[changed].convs[0][1].weight.mul_(1.1)
    for after in (other_centers, other_detections(random_batch()).losses, other_weights(random_batch()).losses):
        assert after[f"branch{changed + 1}_object"] != before[f"branch{changed + 1}_object"]
        assert all(after[name] == before[name] for name in before if f"branch{2 - changed}" in name)


def test_every_box_of_every_image_is_described():
    """The published code describes the first B ROIs only."""
    learner, batch = build(), random_batch()
    taught = learner.teachers[0](batch.images, batch.sizes)
    values = learner.centre_values(0, taught.branches[0], batch.targets)
    assert [len(v) for v in values] == [3, 1] and len(torch.cat(values).unique()) == 4
    alone = random_batch([[], [[50, 2, 60, 30, 3]]])
    assert torch.equal(learner.centre_values(0, taught.branches[0], alone.targets)[1], values[1])


@pytest.mark.parametrize("boxes", [[[], []], [[], [[50, 2, 60, 30, 3]]], [[[5, 5, 5, 5, 1]], [[0, 0, 96, 64, 2]]]])
def test_images_without_boxes_stay_finite_and_train(boxes):
    learner = build().train()
    for teacher in learner.teachers:
        teacher.detections = None
    losses = learner(random_batch(boxes)).losses
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.requires_grad)
    assert all(p.grad.abs().sum() > 0 for p in learner.student.parameters())


def test_every_network_runs_once_a_step():
    learner, calls = build().train(), []
    for network in (learner.student, *learner.teachers):
        network.register_forward_hook(lambda module, *_: calls.append(module))
    for step in range(1, 3):
        learner(random_batch())
        assert sorted(map(id, calls)) == sorted([id(n) for n in (learner.student, *learner.teachers)] * step)


def test_without_proposals_teachers_give_their_features_only():
    learner = build(use_proposals=False)
    for teacher in learner.teachers:
        teacher.forward = None
    losses = learner(random_batch()).losses
    assert losses["branch1_object"] != losses["branch2_object"]


def test_neither_features_nor_centres_enter_a_checkpoint():
    learner = build().train()
    before = set(learner.state_dict())
    for seed in range(2):
        sum(learner(random_batch(seed=seed)).losses.values()).backward()
    assert set(learner.state_dict()) == before == {name for name, _ in learner.named_parameters()}
    assert learner.student_state_dict().keys() == SmallDetector(branches=2).state_dict().keys()
    helpers = {name.split(".")[0] for name in before} - {"student", "teachers"}
    assert helpers == {"branches"}
    assert all(p.grad is None for p in learner.teachers.parameters())
    assert {name for name, _ in learner.named_buffers()} == {"centers0", "centers1"}  # these move to the device


def test_three_teachers_for_three_branches():
    losses = build(3, weights=(0.2, 0.3, 0.5))(random_batch()).losses
    assert len(losses) == 1 + 3 * 5 and "branch3_object" in losses


def test_numbers_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"distiller\.centers: 0 given for 2 teachers"):
        build(centers=())
    with pytest.raises(InputError, match=r"distiller\.weights=.*list of 2 numbers"):
        build(weights=(1.0,))
    learner = build()
    learner.student = SmallDetector(branches=1)
    with pytest.raises(InputError, match="1 branches for 2 teachers"):
        learner(random_batch())


def test_mixed_precision_stays_near():
    learner, batch = build(), random_batch()
    exact = learner(batch).losses
    with torch.autocast("cpu", torch.bfloat16):
        rough = learner(batch).losses
    for name in exact.keys() - {"box"}:
        assert rough[name].dtype == torch.float32
        assert rough[name].item() == pytest.approx(exact[name].item(), rel=0.05)
