"""How a distillation is put together: what the optimiser and the networks of real, tiny runs have seen."""

import copy
from pathlib import Path

import pytest
import torch
from conftest import run_script
from training_record import observed, rates

from engine.experiment import load_experiment
from engine.training import run as training
from models.weights import read_checkpoint

LR = 0.05


@pytest.fixture(scope="module")
def teacher(configs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    run_script("train.py", configs["teacher"], "--device", "cpu", "--work-dir", folder, "--max-steps", 1)
    return folder / "checkpoint_last.pth.tar"


@pytest.mark.parametrize(
    "options, student, teachers",
    [
        ((), torch.float32, torch.float32),
        (("--teacher-precision", "bf16"), torch.float32, torch.bfloat16),
        (("--precision", "bf16"), torch.bfloat16, torch.bfloat16),
        (("--precision", "bf16", "--teacher-precision", "32"), torch.bfloat16, torch.float32),
    ],
)
def test_each_network_computes_in_the_precision_asked_for(steps_of, teacher, options, student, teachers):
    with observed() as seen:
        steps_of(
            config="distill",
            script="knowledge_distillation_train.py",
            more=("--checkpoint_t", teacher, "--max-steps", 1, *options),
        )
    dtypes = {
        training: {dtype for name, own, dtype, _ in seen if name == "Conv2d" and own == training}
        for training in (True, False)  # the teacher is in evaluation mode, and nothing is measured
    }
    assert dtypes[True] - {torch.float32} == {student} - {torch.float32}
    assert dtypes[False] - {torch.float32} == {teachers} - {torch.float32}


def test_the_terms_of_a_distillation_are_warmed_up(steps_of, teacher):
    """Of weights that stay as they are, the gradient is the task's and a growing share of the distillation's."""

    def gradients(*options: str) -> list[torch.Tensor]:
        options = ["train_cfg.optimizer=SGD", "train_cfg.lr=1e-12", *options]
        steps = steps_of(*options, config="distill", script="knowledge_distillation_train.py", more=taught)
        return [torch.cat([g.flatten() for g in step.gradients]) for step in steps]

    taught = ("--checkpoint_t", teacher)
    task, full = gradients("distiller.weight=0"), gradients("distiller.weight=500")
    warmed = gradients("distiller.weight=500", "train_cfg.distillation_warmup=4")
    for share, own, both, found in zip([0, 0.25, 0.5, 0.75, 1, 1], task, full, warmed, strict=True):
        torch.testing.assert_close(found - own, share * (both - own), rtol=1e-3, atol=1e-4 * (both - own).abs().max())


def test_the_options_of_the_published_script_reach_the_run(steps_of, teacher, tmp_path):
    started = tmp_path / "student.pth.tar"
    first = steps_of(config="student", more=("--max-steps", 1, "--seed", 5))
    (tmp_path / "run" / "checkpoint_last.pth.tar").rename(started)
    with observed() as seen:
        steps = steps_of(
            config="distill",
            script="knowledge_distillation_train.py",
            more=(
                *("--checkpoint_t", teacher, "--checkpoint_s", started),
                *("--lr", LR, "--end_epoch", 3, "--batch_size", 3),
            ),
        )
    assert rates(steps) == pytest.approx([LR * (1 - i / 6) ** 0.9 for i in range(6)])  # 3 epochs of 2 batches
    assert {images for name, training, _, images in seen if name == "TextDetector" and training} == {3}
    for before, after in zip(steps[0].before, first[0].after):  # the student starts from its checkpoint
        torch.testing.assert_close(before, after, rtol=0, atol=0)


@pytest.mark.parametrize("scale, warned", [(0.7, False), (0.5, True)])
def test_kernels_of_another_size_than_the_teachers_are_named(configs, teacher, caplog, scale, warned):
    options = [f"distiller.teachers.0.checkpoint={teacher}", f"data.train.kernel_scale={scale}"]
    training.build_learner(load_experiment(configs["distill"], options))
    assert ("other kernels than data.train has (kernel_scale=0.7 there, 0.5 here)" in caplog.text) == warned


@pytest.mark.parametrize("config", [None, "config", {"data": None}, {"data": {"train": []}}])
def test_a_teacher_of_another_program_says_nothing_of_its_kernels(configs, teacher, tmp_path, caplog, config):
    torch.save({**read_checkpoint(teacher), "config": config}, path := tmp_path / "other.pth.tar")
    training.build_learner(load_experiment(configs["distill"], [f"distiller.teachers.0.checkpoint={path}"]))
    assert "other kernels" not in caplog.text


def test_a_learner_teaches_with_the_weights_of_its_teacher_and_trains_the_student_alone(configs, teacher):
    cfg = load_experiment(configs["distill"], [f"distiller.teachers.0.checkpoint={teacher}"])
    learner = training.build_learner(cfg)
    before, weights = copy.deepcopy(learner.state_dict()), read_checkpoint(teacher)["state_dict"]
    trained = {name for name, p in learner.named_parameters() if p.requires_grad}
    assert trained and not [name for name in trained if name.startswith("teachers.")]
    torch.testing.assert_close(before["teachers.0.head.conv2.weight"], weights["head.conv2.weight"], rtol=0, atol=0)


def test_a_peer_starts_from_other_weights_and_is_trained(steps_of, configs, tmp_path):
    """Mutual learning needs no teacher; the file is of the student alone."""
    config = tmp_path / "mutual.py"
    config.write_text(f"_base_ = [{str(configs['student'])!r}]\ndistiller = dict(type='MutualDistiller')\n")
    cfg = load_experiment(config)
    learner = training.build_learner(cfg)
    one, two = (dict(net.named_parameters()) for net in (learner.student, learner.peer))
    assert one.keys() == two.keys() and not torch.equal(one["head.conv1.weight"], two["head.conv1.weight"])
    steps = steps_of(config=str(config), script="knowledge_distillation_train.py")
    assert len(steps) == 6 and len(steps[0].before) == 2 * len(one)
    state = read_checkpoint(tmp_path / "run" / "checkpoint_last.pth.tar")["state_dict"]
    assert state.keys() == learner.student.state_dict().keys()


@pytest.mark.parametrize(
    "options, said",
    [
        (["train_cfg.warmup=6"], "train_cfg.warmup=6: the whole run has 6 steps"),
        (["train_cfg.distillation_warmup=7"], "train_cfg.distillation_warmup=7: the whole run has 6 steps"),
        (["train_cfg.schedule=[2,3]"], "train_cfg.schedule=[2, 3]: the rate never falls in 2 epochs"),
        (["train_cfg.warmup=5", "train_cfg.schedule=[1,3]"], None),
    ],
)
def test_what_is_planned_for_later_than_the_end_is_said(configs, teacher, tmp_path, options, said):
    output = run_script(
        "knowledge_distillation_train.py", configs["distill"], "--device", "cpu", "--work-dir", tmp_path,
        "--checkpoint_t", teacher, "--max-steps", 1, "--cfg-options", "train_cfg.val_interval=0", *options,
    )  # fmt: skip
    assert (said in output) if said else ("the whole run" not in output and "never falls" not in output)
