"""The teachers of a distillation config: networks, trained weights, and checks against the student's data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from distillation.multineck.provenance import check_same_classes
from engine.experiment import Experiment, load_experiment
from engine.training.checkpoint import check_same_model, new_detector
from errors import InputError
from models.identity import meaning
from models.weights import load_strict, read_checkpoint, state_dict_of

logger = logging.getLogger(__name__)

KERNELS = ("kernel_scale", "kernel_num", "min_scale")  # of data.train


@dataclass(frozen=True)
class Teacher:
    """An entry of `distiller.teachers`.

    Attributes:
        number: its place in the list, from 1.
        checkpoint: the file of its weights.
        network: the network with these weights.
        weights: state dict of the checkpoint, under its names.
        model: the `model` section of its config, with all defaults.
    """

    number: int
    checkpoint: str
    network: nn.Module
    weights: Mapping[str, Tensor]
    model: Mapping[str, Any]


def load_teacher(cfg: Experiment, number: int, dataset: Dataset | None) -> Teacher:
    """Reads the config and the checkpoint of a teacher.

    Args:
        cfg: experiment of the distillation.
        number: number of the teacher, from 1.
        dataset: training set of the student; its classes, if it has any, must be the teacher's.

    Raises:
        InputError: a missing checkpoint, one of another network than the teacher's config, a teacher of another task,
            or one that was trained on other classes.
    """
    entry, field = cfg.distiller.teachers[number - 1], f"distiller.teachers.{number - 1}"
    own = load_experiment(entry.config, entry.cfg_options)
    if own.task is not cfg.task:
        raise InputError(f"{field}.config: {entry.config} detects something else than the student")
    if not Path(entry.checkpoint).is_file():
        raise InputError(
            f"{entry.checkpoint}: no teacher checkpoint there; train one with  python train.py {entry.config}  or name "
            f"one with --cfg-options {field}.checkpoint=FILE"
        )
    content = read_checkpoint(entry.checkpoint)
    source = f"teacher {number}, {entry.checkpoint}"  # for messages
    weights = state_dict_of(content, source)
    check_same_model(own.model, content, source)
    network = new_detector(own.model, pretrained=False)
    load_strict(network, weights, source=source)
    _warn_other_kernels(cfg.config["data"]["train"], content, source)
    teacher = Teacher(number, entry.checkpoint, network, weights, meaning(own.model))
    if hasattr(dataset, "classes"):
        _check_classes(teacher, content.get("classes"), dataset)
    return teacher


def _warn_other_kernels(train: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str) -> None:
    """Logs where a text detector was trained with kernels of another size than the student's labels have."""
    trained: Any = checkpoint
    for section in ("config", "data", "train"):  # a file of another program may hold anything under these names
        trained = trained.get(section) if isinstance(trained, Mapping) else None
    if not isinstance(trained, Mapping):
        return
    pairs = {name: (trained.get(name), train.get(name)) for name in KERNELS}
    different = [f"{name}={before} there, {now} here" for name, (before, now) in pairs.items() if before != now]
    if different and any(trained.get(name) is not None for name in KERNELS):
        message = "%s: was trained with other kernels than data.train has (%s): it teaches what the labels contradict"
        logger.warning(message, source, ", ".join(different))


def _check_classes(teacher: Teacher, classes: list[str] | None, dataset: Dataset) -> None:
    """Compares classes; checkpoints of other projects do not name theirs, so only the number is compared."""
    source, data = f"teacher {teacher.number} ({teacher.checkpoint})", str(dataset.ground_truth)
    if classes is not None:
        check_same_classes({data: dataset.classes, source: classes})
    elif teacher.network.num_classes != len(dataset.classes):
        raise InputError(
            f"{source}: predicts {teacher.network.num_classes} classes, {data} has {len(dataset.classes)}; "
            "use one class list"
        )
