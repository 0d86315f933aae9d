"""How a training run is put together: what the optimiser, the networks and the files of real, tiny runs have seen."""

import copy
import json
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from conftest import ROOT, run_process, run_script
from object_networks import small_rcnn
from torch.optim.swa_utils import AveragedModel
from training_record import Draw, norm, note_draws, rates

from distillation import SupervisedObjects
from engine.experiment import load_experiment
from engine.settings import TrainSettings
from engine.training import run as training
from engine.training.callbacks import WeightAverage
from engine.training.checkpoint import new_detector
from engine.training.module import TrainingModule
from models import build_detector
from models.weights import read_checkpoint

IMAGES = 6  # of the small data set
LR = 0.05


# ---------------------------------------------------------------------------------------------------- the schedule


@pytest.mark.parametrize(
    "options, steps, factors",
    [
        # 6 images in batches of 2: 3 steps an epoch
        ([], 6, [(1 - i / 6) ** 0.9 for i in range(6)]),
        (["train_cfg.warmup=4"], 6, [(1 - i / 6) ** 0.9 * min(1, 0.001 + 0.999 * i / 4) for i in range(6)]),
        (["train_cfg.schedule=[1]"], 6, [1] * 3 + [0.1] * 3),
        (["train_cfg.schedule=cosine"], 6, [1, 0.9330127018922193, 0.75, 0.5, 0.25, 0.06698729810778065]),
        (["train_cfg.grad_accumulation=2"], 4, [(1 - i / 4) ** 0.9 for i in range(4)]),
        # halves of an epoch: 3 images each in batches of 1
        (["train_cfg.parts=2", "data.batch_size=1"], 12, [(1 - i / 12) ** 0.9 for i in range(12)]),
        (["train_cfg.parts=2", "data.batch_size=1", "train_cfg.schedule=[1]"], 12, [1] * 6 + [0.1] * 6),
    ],
)
def test_the_optimiser_steps_with_the_rates_of_the_schedule(steps_of, options, steps, factors):
    done = steps_of(f"train_cfg.lr={LR}", "train_cfg.optimizer=SGD", *options)
    assert len(done) == steps
    assert rates(done) == pytest.approx([LR * factor for factor in factors], rel=1e-12)


# --------------------------------------------------------------------------------------------------- the optimisers


def test_sgd_has_the_momentum_and_the_weight_decay_of_the_config(steps_of):
    steps = steps_of(
        "train_cfg.optimizer=SGD", "train_cfg.momentum=0.7", "train_cfg.weight_decay=0.3", f"train_cfg.lr={LR}"
    )
    buffers = [torch.zeros_like(p, dtype=torch.float64) for p in steps[0].before]
    for step, rate in zip(steps, [LR * (1 - i / 6) ** 0.9 for i in range(6)], strict=True):
        for i, (before, gradient, after) in enumerate(zip(step.before, step.gradients, step.after)):
            buffers[i] = 0.7 * buffers[i] + gradient.double() + 0.3 * before.double()
            torch.testing.assert_close(after.double(), before.double() - rate * buffers[i], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip", [None, 0.5])  # without clipping, all parameters are updated by one call
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_adam_has_the_weight_decay_of_the_config(steps_of, kind, clip):
    coupled, decoupled = (0.3, 0.0) if kind == "Adam" else (0.0, 0.3)
    options = ["train_cfg.weight_decay=0.3", f"train_cfg.clip_grad={clip}", f"train_cfg.optimizer={kind}"]
    steps = steps_of(f"train_cfg.lr={LR}", *options)
    first = [torch.zeros_like(p, dtype=torch.float64) for p in steps[0].before]
    second = copy.deepcopy(first)
    cancels = [torch.zeros_like(p, dtype=torch.bool) for p in steps[0].before]
    for number, step in enumerate(steps, 1):
        rate = LR * (1 - (number - 1) / 6) ** 0.9
        for i, (before, gradient, after) in enumerate(zip(step.before, step.gradients, step.after)):
            pull = gradient.double() + coupled * before.double()
            first[i] = 0.9 * first[i] + 0.1 * pull
            second[i] = 0.999 * second[i] + 0.001 * pull.square()
            scaled = (first[i] / (1 - 0.9**number)) / ((second[i] / (1 - 0.999**number)).sqrt() + 1e-8)
            # Where gradient and decay cancel, the direction of what is left is a matter of rounding, from there on.
            cancels[i] |= pull.abs() < 1e-4 * (gradient.double().abs() + coupled * before.double().abs())
            kept = (1 - rate * decoupled) * before.double()
            expected = torch.where(cancels[i], after.double(), kept - rate * scaled)
            torch.testing.assert_close(after.double(), expected, rtol=1e-4, atol=2e-4)
    assert sum(map(torch.count_nonzero, cancels)) < 1e-3 * sum(map(torch.numel, cancels))


@pytest.mark.parametrize("norms", [True, False])
def test_norms_and_biases_decay_only_if_asked_for(steps_of, norms):
    """Also of the transformer, whose norm has the size of a plane of tokens."""
    transformer = "model.transformer={'type':'VisualTransformer','channels':16,'tokens':7}"
    options = ["train_cfg.optimizer=SGD", "train_cfg.momentum=0.0", "train_cfg.weight_decay=0.3", "train_cfg.epoch=1"]
    for step in steps_of(*options, f"train_cfg.lr={LR}", f"train_cfg.decay_norms={norms}", transformer):
        planes = [before.ndim == 2 for before in step.before]
        assert sum(planes) == 2
        for plane, options, before, *rest in zip(planes, step.options, step.before, step.gradients, step.after):
            gradient, after = rest
            decay = 0.3 if (before.ndim > 1 and not plane) or norms else 0.0
            torch.testing.assert_close(after, before - options["lr"] * (gradient + decay * before))


def test_the_backbone_has_its_share_of_the_learning_rate(steps_of, configs):
    options = ["train_cfg.optimizer=SGD", "train_cfg.momentum=0.0", "train_cfg.backbone_lr_factor=0.1"]
    steps = steps_of(f"train_cfg.lr={LR}", *options)
    backbone = new_detector(load_experiment(configs["student"]).model).backbone
    for rate, step in zip([LR * (1 - i / 6) ** 0.9 for i in range(6)], steps, strict=True):
        slow = []
        for options, before, gradient, after in zip(step.options, step.before, step.gradients, step.after):
            own = options["lr"] / rate
            assert own == pytest.approx(0.1) or own == pytest.approx(1)
            torch.testing.assert_close(after, before - own * rate * gradient)
            if own < 0.5:
                slow.append(before)
        assert sorted(p.shape for p in slow) == sorted(p.shape for p in backbone.parameters())
        assert len(slow) < len(step.before)


# ------------------------------------------------------------------------------------------------------ the average


def test_the_neck_of_an_object_detector_is_no_backbone():
    """It stands below `backbone` there."""
    settings = TrainSettings(backbone_lr_factor=0.1)
    learner = SupervisedObjects(build_detector(small_rcnn(neck="MultiNeckFPN")))
    groups = TrainingModule(learner, settings, 1).parameter_groups()
    slow = {id(p) for group in groups for p in group["params"] if group["lr_factor"] == 0.1}
    assert slow == {id(p) for p in learner.student.backbone["body"].parameters() if p.requires_grad}


def test_the_average_is_kept_on_the_device_that_trains():
    """The module itself comes there only later; here the device is one without memory."""
    average, there = WeightAverage(0.9), torch.device("meta")
    module = L.LightningModule()
    module.layer = torch.nn.Linear(2, 3)
    average.setup(SimpleNamespace(strategy=SimpleNamespace(root_device=there)), module, "fit")
    [copied] = [value for value in vars(average).values() if isinstance(value, AveragedModel)]
    assert {p.device for p in copied.parameters()} == {there} and module.layer.weight.device == torch.device("cpu")


def test_what_is_measured_and_saved_is_the_average_of_the_weights(steps_of, tmp_path, monkeypatch):
    """Each of two epochs, against a float64 sum over the steps; training itself goes on with its own weights."""
    measured = []

    def measure(trainer, detector):
        measured.append({key: value.clone() for key, value in detector.state_dict().items()})
        return {"protocol": "ctw1500", "variant": "official", "precision": 1.0, "recall": 1.0, "hmean": 0.5}

    monkeypatch.setattr(training, "_measure", lambda *_: measure)
    options = [f"train_cfg.lr={LR}", "train_cfg.val_interval=1", "train_cfg.save_interval=1"]
    plain = steps_of(*options)
    own = read_checkpoint(tmp_path / "run" / "checkpoint_last.pth.tar")["state_dict"]
    measured.clear()
    steps = steps_of(*options, "train_cfg.ema=0.3")
    assert len(steps) == 6
    for step, other in zip(steps, plain, strict=True):
        assert all(map(torch.equal, step.after, other.after))
    average = [p.double() for p in steps[0].after]  # the first is taken as it is
    wanted = []
    for number, step in enumerate(steps):
        decay = min(0.3, (1 + number) / (10 + number))
        if number:
            average = [decay * a + (1 - decay) * p.double() for a, p in zip(average, step.after)]
        wanted.append(average)
    for epoch, state in enumerate(measured, 1):
        saved = read_checkpoint(tmp_path / "run" / f"checkpoint_{epoch}ep.pth.tar")["state_dict"]
        assert saved.keys() == state.keys() and all(torch.equal(saved[key], state[key]) for key in saved)
        expected = {p.shape: p for p in wanted[3 * epoch - 1]}
        found = [value for value in state.values() if value.shape in expected and value.is_floating_point()]
        for shape, value in expected.items():
            alike = [float((f.double() - value).abs().max()) for f in found if f.shape == shape]
            assert min(alike) < 1e-5, shape
    # Batch statistics are averaged, too.
    name = "backbone.bn1.running_mean"
    assert not torch.allclose(measured[-1][name], own[name], rtol=1e-3, atol=0)


def test_gradients_are_clipped_to_the_norm_of_the_config(steps_of):
    options = ["train_cfg.lr=1e-30", "train_cfg.optimizer=SGD"]
    whole, clipped = steps_of(*options), steps_of(*options, "train_cfg.clip_grad=0.01")
    for left, right in zip(whole, clipped, strict=True):
        assert norm(left.gradients) > 0.1
        assert norm(right.gradients) == pytest.approx(0.01, rel=1e-3)
        scale = 0.01 / norm(left.gradients)
        for gradient, shorter in zip(left.gradients, right.gradients):
            torch.testing.assert_close(shorter, gradient * scale, rtol=1e-3, atol=1e-7)


def test_accumulated_gradients_are_the_mean_of_their_batches(steps_of):
    """3 batches in groups of 2: the last group of an epoch is one batch, whose gradient is not halved."""
    options = ["train_cfg.optimizer=SGD", "train_cfg.lr=1e-30", "train_cfg.epoch=1"]  # weights stay where they are
    single, grouped = steps_of(*options), steps_of(*options, "train_cfg.grad_accumulation=2")
    assert (len(single), len(grouped)) == (3, 2)
    wanted = [[(a + b) / 2 for a, b in zip(single[0].gradients, single[1].gradients)], single[2].gradients]
    for step, gradients in zip(grouped, wanted):
        torch.testing.assert_close(step.gradients, gradients, rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- the best epoch


@pytest.mark.parametrize(
    "hmeans, best",
    [([0.2, 0.5, 0.5, 0.1], 3), ([0.0, 0.0, 0.0, 0.0], 4), ([0.9, 0.1, 0.2, 0.3], 1), ([0.1, 0.2, 0.3, 0.4], 4)],
)
@pytest.mark.parametrize("stopped", [False, True])
def test_the_best_checkpoint_is_of_the_epoch_with_the_highest_score(
    configs, tmp_path, monkeypatch, hmeans, best, stopped
):
    """Whether the run is interrupted after two epochs or not; of equal scores, the later epoch is the best."""

    def measure(trainer, detector):
        hmean = hmeans[trainer.current_epoch]
        return {"protocol": "ctw1500", "variant": "official", "precision": 1.0, "recall": 1.0, "hmean": hmean}

    monkeypatch.setattr(training, "_measure", lambda *_: measure)  # the scores are given, all else is real
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path]
    options = ["--cfg-options", "data.batch_size=6", "train_cfg.epoch=4"]
    if stopped:
        run_script(*command, "--max-steps", 2, *options)
        run_script(*command, "--resume", *options)
    else:
        run_script(*command, *options)
    kept = read_checkpoint(tmp_path / "checkpoint_best.pth.tar")
    assert (kept["epoch"], kept["metrics"]["hmean"]) == (best, hmeans[best - 1])
    same = read_checkpoint(tmp_path / f"checkpoint_{best}ep.pth.tar")["state_dict"]
    assert all(torch.equal(same[key], value) for key, value in kept["state_dict"].items())


@pytest.mark.parametrize(
    "val, save, measured, saved", [(2, 3, [2, 4, 5], [3]), (0, 2, [5], [2, 4]), (1, 9, [1, 2, 3, 4, 5], [])]
)
def test_checkpoints_and_measurements_come_at_their_intervals(configs, tmp_path, val, save, measured, saved):
    options = ["train_cfg.epoch=5", f"train_cfg.val_interval={val}", f"train_cfg.save_interval={save}"]
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path]
    output = run_script(*command, "--cfg-options", "data.batch_size=6", *options)
    epochs = [int(line.split(":")[0].split()[1]) for line in output.splitlines() if ": test split " in line]
    assert epochs == measured
    kept = sorted(int(path.name.split("_")[1].split("ep")[0]) for path in tmp_path.glob("checkpoint_*ep.pth.tar"))
    assert kept == saved


# --------------------------------------------------------------------------------------------------- the random state


DRAWS_OF_PROCESSES = """
import json, os, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from training_record import note_draws
from engine import cli
from distillation import Learner
from engine.training.run import train

if __name__ == "__main__":
    file = open(f"{out}/rank" + os.environ.get("LOCAL_RANK", "0"), "w")
    note_draws(lambda draw: print(json.dumps(draw), file=file, flush=True))
    parser = cli.parser("")
    parser.add_argument("config")
    cli.training_options(parser)
    cli.run(lambda args: train(cli.load(args), args, "run"), parser)
"""


def test_the_random_state_and_the_images_are_functions_of_seed_epoch_batch_and_process(configs, tmp_path):
    options = ["--cfg-options", "train_cfg.epoch=2", "train_cfg.val_interval=0"]

    def drawn(seed: int) -> list[Draw]:
        draws: list[Draw] = []
        handle = note_draws(draws.append)
        run_script("train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path, "--seed", seed, *options)
        handle.remove()
        return draws

    one, again, other = drawn(1), drawn(1), drawn(2)
    script = tmp_path / "two.py"
    script.write_text(DRAWS_OF_PROCESSES.format(root=str(ROOT), out=tmp_path))
    run_process(
        script, configs["student"], "--device", "cpu", "--devices", 2, "--work-dir", tmp_path, "--seed", 1, *options
    )
    two = [[Draw(*json.loads(line)) for line in (tmp_path / f"rank{n}").read_text().splitlines()] for n in range(2)]
    assert one == again and [len(rank) for rank in (one, *two)] == [6, 6, 6]
    numbers = [number for number, _ in (*one, *other, *two[1])]
    assert len(set(numbers)) == len(numbers)  # of two epochs, three batches, two seeds, two processes
    assert [number for number, _ in two[0]] == [number for number, _ in one]
    for epoch in (0, 3):  # every image once an epoch, in an order of its own, shared out among the processes
        [all_of_one, *shares] = [
            [name for _, names in rank[epoch : epoch + 3] for name in names] for rank in (one, *two)
        ]
        assert len(set(all_of_one)) == IMAGES == len(all_of_one) and sorted(shares[0] + shares[1]) == sorted(all_of_one)
    assert [names for _, names in one[:3]] != [names for _, names in one[3:]]
    assert [names for _, names in one] != [names for _, names in other]


def test_the_seed_decides_the_weights_that_a_run_starts_with(steps_of):
    one, again, other = (steps_of(f"train_cfg.seed={seed}", more=("--max-steps", 1))[0].before for seed in (1, 1, 2))
    assert all(map(torch.equal, one, again)) and not all(map(torch.equal, one, other))
