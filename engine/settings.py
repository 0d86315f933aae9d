"""The sections of a config with fixed keys: every key, its default and its meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset import Split
from engine.checks import one_of
from errors import InputError
from eval import PROTOCOLS

_MOST = 10**9


@dataclass(frozen=True)
class TrainSettings:
    """Settings of training, the `train_cfg` section.

    Attributes:
        epoch: number of passes over the training set.
        parts: number of parts into which a pass over a very large set is cut. Everything done every epoch (checkpoints,
            measurements, the epoch in messages) is then done every part, so that a crash loses one part at most.
        lr: initial learning rate.
        backbone_lr_factor: the learning rate of backbones is lr times this; below 1 for one with pretrained weights.
        schedule: 'polylr' (power 0.9) or 'cosine', per iteration, over the whole run; or the epochs at which lr is
            divided by 10.
        warmup: iterations in which lr grows linearly from a thousandth of its value.
        distillation_warmup: iterations in which the terms of a distillation grow linearly from 0 to their weights.
        clip_grad: largest L2 norm of all gradients together; None for no limit.
        optimizer: 'Adam', 'AdamW' (decoupled weight decay) or 'SGD' (momentum).
        weight_decay: of the optimiser.
        decay_norms: whether norms and biases decay, too.
        ema: decay of the exponential moving average of the weights, which then is what is measured and saved; after n
            steps it is (1 + n) / (10 + n) at most. None for no average.
        pretrain: path of a checkpoint to start from; weights that do not match are left out and listed. Of a backbone
            with more expanded channels than `model.backbone.expansion` the strongest are taken, and maps that are
            coarser than those of `model.head.upscale` are made finer.
        val_interval: epochs between measurements on the test split; 0 for none before the end.
        save_interval: epochs between checkpoints that are kept; the last and the best are always kept.
        grad_accumulation: batches whose gradients are averaged before a step.
        seed: random seed of initial weights, order of samples and augmentation.
    """

    epoch: int = 600
    parts: int = 1
    lr: float = 1e-3
    backbone_lr_factor: float = 1.0
    schedule: str | Sequence[int] = "polylr"
    warmup: int = 0
    distillation_warmup: int = 0
    clip_grad: float | None = None
    optimizer: str = "Adam"
    momentum: float = 0.99
    weight_decay: float = 0.0
    decay_norms: bool = True
    ema: float | None = None
    pretrain: str | None = None
    val_interval: int = 10
    save_interval: int = 10
    grad_accumulation: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("train_cfg.optimizer", self.optimizer, ("Adam", "AdamW", "SGD"))
        if isinstance(self.schedule, str):
            one_of("train_cfg.schedule", self.schedule, ("polylr", "cosine"))
        elif not isinstance(self.schedule, Sequence) or not all(type(epoch) is int for epoch in self.schedule):
            raise InputError(f"train_cfg.schedule={self.schedule!r}: expected 'polylr', 'cosine' or a list of epochs")
        elif list(self.schedule) != sorted(set(self.schedule)) or min(self.schedule, default=1) < 1:
            raise InputError(f"train_cfg.schedule={self.schedule!r}: expected ascending epochs, 1 or more")
        for key, least, most in (
            ("epoch", 1, _MOST),
            ("parts", 1, _MOST),
            ("grad_accumulation", 1, _MOST),
            ("save_interval", 1, _MOST),
            ("val_interval", 0, _MOST),
            ("seed", 0, 2**32 - 1),
            ("warmup", 0, _MOST),
            ("distillation_warmup", 0, _MOST),
        ):
            if not least <= getattr(self, key) <= most:
                wanted = f"{least} or more" if getattr(self, key) < least else f"{most} at most"
                raise InputError(f"train_cfg.{key}={getattr(self, key)}: expected {wanted}")
        if not 0 < self.lr < math.inf:
            raise InputError(f"train_cfg.lr={self.lr}: expected a number above 0")
        if not 0 < self.backbone_lr_factor < math.inf:
            raise InputError(f"train_cfg.backbone_lr_factor={self.backbone_lr_factor}: expected a number above 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError(f"train_cfg.ema={self.ema}: expected a number between 0 and 1, or None")
        if not 0 <= self.momentum < 1:
            raise InputError(f"train_cfg.momentum={self.momentum}: expected a number from 0 to below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"train_cfg.weight_decay={self.weight_decay}: expected 0 or more")
        if self.clip_grad is not None and not 0 < self.clip_grad < math.inf:
            raise InputError(f"train_cfg.clip_grad={self.clip_grad}: expected a number above 0, or None")


@dataclass(frozen=True)
class TestSettings:
    """Settings of post-processing to polygons and of their scoring, the `test_cfg` section of text detectors.

    Attributes:
        protocol, variant: the evaluation protocol and its variant; see `python -m eval --help`.
        min_score: lowest mean text probability of an instance, 0 to 1.
        min_text, min_kernel: probabilities, between 0 and 1, above which a pixel is text, and kernel.
        min_area: smallest area of an instance in pixels of the network input.
        bbox_type: 'poly' (outer contour) or 'rect' (minimum-area rectangle).
        result_path: folder for the result files of test.py.
    """

    protocol: str = "ctw1500"
    variant: str | None = None
    min_score: float = 0.88
    min_text: float = 0.5
    min_kernel: float = 0.5
    min_area: int = 16
    bbox_type: str = "poly"
    result_path: str = "outputs/submit"

    __test__ = False  # not a test case, despite the name

    def __post_init__(self) -> None:
        one_of("test_cfg.protocol", self.protocol, PROTOCOLS)
        if self.variant is not None:
            one_of("test_cfg.variant", self.variant, PROTOCOLS[self.protocol].variants)
        one_of(f"test_cfg.bbox_type for {self.protocol}", self.bbox_type, PROTOCOLS[self.protocol].bbox_types)
        if self.min_area < 0:
            raise InputError(f"test_cfg.min_area={self.min_area}: expected 0 or more")
        if not 0 <= self.min_score <= 1:
            raise InputError(f"test_cfg.min_score={self.min_score!r}: expected a number from 0 to 1")
        for name in ("min_text", "min_kernel"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"test_cfg.{name}={getattr(self, name)!r}: expected a number between 0 and 1")

    @property
    def thresholds(self) -> dict[str, Any]:
        """What selects among the pixels and the instances."""
        return {name: getattr(self, name) for name in ("min_score", "min_area", "bbox_type", "min_text", "min_kernel")}


@dataclass(frozen=True)
class UnlabelledSettings:
    """Pictures without labels that a distillation adds to every batch, `data.unlabelled`.

    Attributes:
        root: folder of the images, with the folders below it.
        batch_size: pictures in a step, of all processes together, besides those of `data.batch_size`.
        predictions: file of `predict.py --json ... FOLDER`, by which `data.train.text_crops` of the crops are placed
            where there is text; None for crops anywhere.
    """

    root: str
    batch_size: int
    predictions: str | None = None


@dataclass(frozen=True)
class DataSettings:
    """Data of an experiment, the `data` section.

    Attributes:
        root: folder of the data sets.
        train: the training split.
        test: the test split; None for an experiment that only trains.
        batch_size: training images in a step, of all processes together; None for one that only tests.
        num_workers: number of processes that read images; None for one per core, 8 at most.
        unlabelled: pictures of which the teacher's output alone is learnt; they are augmented as those of `train`. None
            for none.
    """

    root: str
    train: Split
    test: Split | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    unlabelled: UnlabelledSettings | None = None


@dataclass(frozen=True)
class TeacherSettings:
    """An entry of `distiller.teachers`.

    Attributes:
        config, checkpoint: paths of the teacher's files.
        cfg_options: 'key.path=value' entries on top of its config.
        centers: path of its class centres, for distillers that use them.
    """

    config: str
    checkpoint: str
    cfg_options: Sequence[str] = ()
    centers: str | None = None


@dataclass(frozen=True)
class DistillerSettings:
    """The `distiller` section.

    Attributes:
        kind: class of the learner.
        teachers: its teachers.
        options: further arguments of the learner.
    """

    kind: type
    teachers: Sequence[TeacherSettings]
    options: Mapping[str, Any] = field(default_factory=dict)
