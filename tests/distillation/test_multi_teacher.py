"""KKD with several teachers: each has the terms that it has alone, weighted, under a name of its own."""

import csv
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL_CONFIG, run_script
from text_networks import random_batch, small_model

from distillation import KernelMaskDistiller, kernel_mask_loss
from engine.experiment import load_experiment
from errors import InputError
from models import PANLoss, build_detector
from models.weights import read_checkpoint
from reference import text_losses as reference

FIELDS = {"kkd_feature": "fused", "kkd_response": "logits"}


def pan_model(channels: int = 16) -> dict:
    """PAN's form: two FPEMs and no transformer."""
    neck = dict(type="FPEMNeck", channels=channels)
    return {**small_model(adapter=False, depth=18, channels=channels), "neck": neck, "transformer": None}


def frozen(*models: dict, seed: int = 0) -> list:
    torch.manual_seed(seed)
    return [build_detector(model) for model in models]


@pytest.fixture
def teachers():
    return frozen(pan_model(), small_model(adapter=False, depth=50))


@pytest.fixture
def student():
    torch.manual_seed(1)
    return build_detector(small_model())


@pytest.mark.parametrize(
    "weights, expected, reduction",
    [(None, (0.5, 0.5), "sum"), ([0.25, 0.75], (0.25, 0.75), "mean"), ((2, 0.5), (2, 0.5), "sum")],
)
def test_terms_of_two_teachers_equal_the_reference(student, teachers, weights, expected, reduction):
    options = dict(weight=0.5, feature_weight=3.0, divisor=4.0, batch_reduction=reduction, teacher_weights=weights)
    learner, batch = KernelMaskDistiller(student, PANLoss(), teachers, **options).eval(), random_batch()
    with torch.no_grad():
        losses, learnt = learner(batch).losses, student(batch.images)
        taught = [teacher.eval()(batch.images) for teacher in teachers]
    kernels = batch.kernels[:, 0].numpy()
    for number, (own, output) in enumerate(zip(expected, taught), 1):
        for name, factor in (("kkd_feature", 3.0), ("kkd_response", 1.0)):
            maps = (getattr(output_of, FIELDS[name]).numpy() for output_of in (learnt, output))
            images = [reference.kernel_mask(*image) for image in zip(*maps, kernels)]
            value = own * factor * 0.5 / 4.0 * getattr(np, reduction)(images)
            assert losses.pop(f"{name}_{number}").item() == pytest.approx(value, rel=1e-4)
    assert not any(name.startswith("kkd") for name in losses)


@pytest.mark.parametrize("weights", [None, [1]])
def test_one_teacher_is_kkd_as_published_to_the_bit(student, teachers, weights):
    learner = KernelMaskDistiller(student, PANLoss(), teachers[1:], teacher_weights=weights).eval()
    batch = random_batch()
    losses, learnt, taught = learner(batch).losses, student(batch.images), learner.teachers[0](batch.images)
    task, _ = learner.supervise(learnt.logits, batch)
    assert list(losses) == [*task, *FIELDS]
    mask = torch.nn.functional.interpolate(batch.kernels.float(), scale_factor=0.25, mode="bilinear")[:, 0]
    for name, field in FIELDS.items():
        assert losses[name] == 1 / 6 * kernel_mask_loss(getattr(learnt, field), getattr(taught, field), mask).sum()


def test_a_teacher_of_no_weight_leaves_the_other_as_if_alone(student, teachers):
    batch = random_batch()
    alone = KernelMaskDistiller(student, PANLoss(), teachers[:1]).eval()(batch).losses
    both = KernelMaskDistiller(student, PANLoss(), teachers, teacher_weights=[1, 0]).eval()(batch).losses
    for name in FIELDS:
        assert both[f"{name}_1"] == alone[name] and both[f"{name}_2"] == 0


def test_the_student_is_drawn_to_the_weighted_mean_of_normalised_maps():
    rng = np.random.default_rng(0)
    student, *taught = (torch.from_numpy(rng.normal(0, 1, (2, 5, 4, 3))) for _ in range(3))
    student, taught = student.float().requires_grad_(), [t.float() for t in taught]
    mask, weights = torch.from_numpy(rng.random((2, 4, 3)).astype(np.float32)), (0.3, 0.7)
    total = sum(w * kernel_mask_loss(student, t, mask).sum() for w, t in zip(weights, taught))
    mean = sum(w * torch.nn.functional.normalize(t) for w, t in zip(weights, taught))
    towards = ((mean - torch.nn.functional.normalize(student)) * mask[:, None]).square().sum() / (2 * 5 * 4 * 3)
    expected, found = (torch.autograd.grad(value, student)[0] for value in (towards, total))
    torch.testing.assert_close(found, expected)


def test_each_network_sees_a_batch_once(student, teachers):
    learner, calls = KernelMaskDistiller(student, PANLoss(), teachers), Counter()
    for network in (learner.student, *learner.teachers):
        network.register_forward_hook(lambda network, *_: calls.update([network]))
    learner(random_batch())
    assert calls == Counter([learner.student, *learner.teachers])


def test_all_teachers_stay_frozen_and_out_of_the_student(student, teachers):
    learner = KernelMaskDistiller(student, PANLoss(), teachers).train()
    before = {key: value.clone() for key, value in learner.teachers.state_dict().items()}
    assert learner.student.training and not any(m.training for m in learner.teachers.modules())
    sum(learner(random_batch()).losses.values()).backward()
    trained = [p for p in learner.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in learner.student.parameters()}
    assert all(p.grad is not None for p in trained) and all(p.grad is None for p in learner.teachers.parameters())
    torch.optim.SGD(trained, 0.1).step()
    assert all(torch.equal(value, before[key]) for key, value in learner.teachers.state_dict().items())
    assert set(learner.student_state_dict()) == set(build_detector(small_model()).state_dict())


@pytest.mark.parametrize("weights", [[1.0], [0.2, 0.3, 0.5], 0.5, "ab", [0.5, None], [1.0, -1.0], [1.0, 1e999]])
def test_other_than_a_number_for_each_teacher_is_refused(student, teachers, weights):
    with pytest.raises(InputError, match=r"teacher_weights=.*list of 2 numbers of 0 or more, one for each teacher"):
        KernelMaskDistiller(student, PANLoss(), teachers, teacher_weights=weights)


def test_the_teacher_whose_maps_differ_is_named(student, teachers):
    other = frozen({**pan_model(), "head": dict(type="PSENetHead", hidden=8)})
    learner = KernelMaskDistiller(student, PANLoss(), teachers + other)
    with pytest.raises(InputError, match=r"\(6, 16, 16\) .*\(7, 16, 16\) of teacher 3 \(kkd_response\)"):
        learner(random_batch())


def test_each_teacher_sees_the_student_through_its_own_projection(student, teachers):
    teachers += frozen(pan_model(8), pan_model(24))
    learner, batch = KernelMaskDistiller(student, PANLoss(), teachers).eval(), random_batch()
    losses = learner(batch).losses
    widths = [[tuple(p.shape[:2]) for p in match.parameters() if p.ndim == 4] for match in learner.feature_match]
    assert widths == [[], [], [(32, 64)], [(96, 64)]]
    with torch.no_grad():
        own = student(batch.images).fused
        for number, (match, teacher) in enumerate(zip(learner.feature_match, learner.teachers), 1):
            pairs = zip(match(own).numpy(), teacher(batch.images).fused.numpy(), batch.kernels[:, 0].numpy())
            expected = sum(reference.kernel_mask(*pair) for pair in pairs) / 6 / 4
            assert losses[f"kkd_feature_{number}"].item() == pytest.approx(expected, rel=1e-4)


def test_the_example_compares_maps_of_one_width(monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = load_experiment("config/kkd/distill_two_teachers_ctw.py")
    models = [cfg.model, *(load_experiment(teacher.config).model for teacher in cfg.distiller.teachers)]
    with torch.device("meta"):
        outputs = [build_detector(model).eval()(torch.zeros(1, 3, 64, 64)) for model in models]
    assert {(o.fused.shape, o.logits.shape) for o in outputs} == {((1, 512, 16, 16), (1, 6, 16, 16))}
    assert [model["backbone"]["depth"] for model in models] == [18, 50, 50]
    assert [model.get("transformer") is None for model in models] == [False, True, False]


def test_a_student_of_two_teachers_is_trained(ctw_root, tmp_path):
    text = {"root": ROOT.as_posix(), "data": ctw_root.as_posix()}
    student, second = (SMALL_CONFIG.format(depth=depth, **text) for depth in (18, 50))
    first = second + "model |= dict(transformer=None, adapter=None, neck=dict(channels=16, version=1, shared=False))\n"
    entries = []
    for name, content in (("pan", first), ("kkd", second)):
        config, checkpoint = tmp_path / f"{name}.py", tmp_path / f"{name}.pth.tar"
        config.write_text(content)
        torch.save({"state_dict": build_detector(load_experiment(config).model).state_dict()}, checkpoint)
        entries.append(dict(config=config.as_posix(), checkpoint=checkpoint.as_posix()))
    config = tmp_path / "distill.py"
    config.write_text(student + f'distiller = dict(type="KernelMaskDistiller", teachers={entries})\n')

    options = ["--end_epoch", 1, "--cfg-options", "distiller.teacher_weights=[0.25, 0.75]"]
    run_script("knowledge_distillation_train.py", config, "--work-dir", tmp_path / "run", *options)

    saved = read_checkpoint(tmp_path / "run" / "checkpoint_last.pth.tar")
    assert saved["epoch"] == 1 and saved["config"]["distiller"]["teacher_weights"] == [0.25, 0.75]
    assert set(saved["state_dict"]) == set(build_detector(load_experiment(config).model).state_dict())
    with next(tmp_path.glob("run/logs/*/metrics.csv")).open() as file:
        [row, *_] = [row for row in csv.DictReader(file) if row["loss"]]
    assert all(float(row[f"loss/{name}_{number}"]) > 0 for name in FIELDS for number in (1, 2))
