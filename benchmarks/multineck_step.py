"""One step of multi-neck distillation (forward, losses, backward) against the same networks run one by one.

Networks of full depth, as in config/multineck/faster_cascade_r101_to_faster_r50_coco.py, on an image smaller than
theirs; proposals, samples and detections are fewer in proportion, so that every part keeps its share of the time.
`--full` takes an image of 800x1344, with all of them: several minutes. Then the networks of the demo at their own size.

The reference (reference/multineck.py) runs each network twice, once for its features, once for its detections (masks
included) or losses, with torchvision's RoIAlign; masks of the distillation are filled box by box, boxes described one
by one. It runs in the precision of our student.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from harness import ROOT, Row, compare, main, table

from reference.multineck import OneByOne  # isort: skip
import numpy as np
import torch
from torch import Tensor, nn

from dataset import ObjectBatch
from distillation import Centers, MultiNeckDistiller
from distillation.multineck.provenance import Provenance
from engine.experiment import Experiment, load_experiment
from engine.training.checkpoint import new_detector

CONFIG = "config/multineck/faster_cascade_r101_to_faster_r50_coco.py"
DEMO = "config/demo_multineck/distill.py"
FULL, REDUCED = (800, 1344), (160, 256)
NUMBERS = {  # defaults, for the full size
    "rpn.pre_nms_train": 2000,
    "rpn.post_nms_train": 2000,
    "rpn.pre_nms_test": 1000,
    "rpn.post_nms_test": 1000,
    "heads.samples": 512,
    "heads.detections": 100,
}


def measure(size: tuple[int, int] = REDUCED) -> list[Row]:
    share = size[0] * size[1] / (FULL[0] * FULL[1])
    options = [f"model.{name}={round(number * share)}" for name, number in NUMBERS.items()]
    rows = steps("two R101 teachers, R50 student", CONFIG, options, (1, *size))
    return rows + steps("the demo's networks", DEMO, (), (4, 128, 128))


def steps(name: str, config: str, options: Sequence[str], shape: tuple[int, int, int]) -> list[Row]:
    """A row for each precision, with `shape` (images, height, width)."""
    cfg = load_experiment(ROOT / config, options)
    batch = random_batch(shape, cfg.model["num_classes"])
    learner, teachers = networks(cfg, options, batch.images)
    one_by_one = OneByOne(learner, teachers)
    rows = []
    for precision, bf16, teacher_dtype, tolerance in (
        ("float32", False, None, 1e-4),
        ("float32, teachers in bf16", False, torch.bfloat16, 5e-2),
        ("bf16", True, None, 5e-2),
    ):
        learner.teacher_dtype = teacher_dtype
        ours = step(lambda batch: learner(batch).losses, learner, batch, bf16)
        reference = step(one_by_one.losses, one_by_one, batch, bf16)
        work = f"multi-neck step, {name}, {'x'.join(map(str, shape))}, {precision}"
        rows.append(compare(work, ours, reference, near(tolerance), reference_name="networks one by one", seconds=1))
    return rows


def step(
    losses: Callable[[ObjectBatch], dict[str, Tensor]], trained: nn.Module, batch: ObjectBatch, bf16: bool
) -> Callable[[], dict[str, float]]:
    """A function that takes a step, but for the optimiser's, and returns the losses."""

    def run() -> dict[str, float]:
        trained.zero_grad()
        torch.manual_seed(0)  # all draw the same anchors and proposals
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = losses(batch)
        sum(found.values()).backward()
        return {name: value.item() for name, value in found.items()}

    return run


def near(tolerance: float) -> Callable[[dict[str, float], dict[str, float]], str]:
    def check(ours: dict[str, float], reference: dict[str, float]) -> str:
        assert ours.keys() == reference.keys()
        apart = {name: abs(ours[name] - reference[name]) / abs(reference[name]) for name in reference}
        name = max(apart, key=apart.get)
        assert apart[name] < tolerance, f"{name}: {ours[name]} against {reference[name]}"
        return f"{len(reference)} losses, each to {apart[name]:.1e} of it"

    return check


def random_batch(shape: tuple[int, int, int], classes: int, boxes: int = 8) -> ObjectBatch:
    """Images of noise, with boxes of 5 to 50 % of their sides."""
    rng, (number, *size) = np.random.default_rng(0), shape
    targets = []
    for _ in range(number):
        corners, extents = rng.uniform(0, 0.5, (boxes, 2)), rng.uniform(0.05, 0.5, (boxes, 2))
        places = np.concatenate([corners, corners + extents], axis=1) * [*size[::-1], *size[::-1]]
        labels = torch.from_numpy(rng.integers(1, classes + 1, boxes))
        targets.append({"boxes": torch.from_numpy(places).float(), "labels": labels})
    images = torch.randn(number, 3, *size, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    sizes, names = [tuple(size)] * number, [f"noise {i}" for i in range(number)]
    return ObjectBatch(images, sizes, targets, list(range(number)), sizes, names)


def networks(cfg: Experiment, options: Sequence[str], images: Tensor) -> tuple[MultiNeckDistiller, list[nn.Module]]:
    """The learner of a config, with random weights, and its teachers as their own configs have them."""
    torch.manual_seed(0)
    own = [load_experiment(ROOT / entry.config, options) for entry in cfg.distiller.teachers]
    student, *teachers = (settled(new_detector(c.model, pretrained=False), images) for c in (cfg, *own))
    given = dict(cfg.distiller.options)
    given["centers"] = [random_centers(seed, cfg.model["num_classes"]) for seed in range(len(teachers))]
    learner = MultiNeckDistiller(student, None, teachers, **given)
    return learner.to(memory_format=torch.channels_last).train(), teachers


def settled(network: nn.Module, images: Tensor) -> nn.Module:
    """Gives a network what trained ones have: statistics in the batch norms, residual branches weaker than what they
    are added to (else a hundred layers magnify every rounding), class scores that differ (so that some pass 0.2).
    """
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    with torch.no_grad():
        for name, norm in norms.items():
            norm.momentum = 1.0
            if name.endswith("bn3"):
                norm.weight.fill_(0.2)
        network.train().features(images)
        for name, parameter in network.named_parameters():
            if name.endswith("cls_score.weight"):
                parameter.mul_(20)
    for norm in norms.values():
        norm.momentum = 0.1
    return network


def random_centers(seed: int, classes: int) -> Centers:
    origin = Provenance("random", "0" * 64, tuple(map(str, range(classes))), "random", "0" * 64, 1, "0" * 64, {})
    centers = np.random.default_rng(seed).normal(0, 0.1, (classes, 49)).astype(np.float32)
    return Centers(centers, np.arange(1, classes + 1, dtype=np.int32), origin)


if __name__ == "__main__":
    if "--full" in sys.argv:
        print(table(measure(FULL)))
    else:
        main(measure, __doc__)
