"""Checkpoints: a student alone, with its config, the git revision and its metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.files import git_revision, write_tensors
from engine.tasks import TASKS
from errors import InputError
from models import build_detector
from models.identity import Difference, model_differences
from models.weights import load_strict, read_checkpoint, state_dict_of

logger = logging.getLogger(__name__)


def save_checkpoint(
    path: str | Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    epoch: int,
    metrics: Mapping[str, float],
    classes: Sequence[str] = (),
) -> None:
    """Writes a temporary file, then renames it: a file under its final name is always complete.

    Args:
        classes: class names of an object detector, in the order of its labels.
    """
    content = {
        "state_dict": dict(state),
        "config": config,
        "git_revision": git_revision(),
        "epoch": epoch,
        "metrics": dict(metrics),
        **({"classes": list(classes)} if classes else {}),
    }
    write_tensors(path, content)


def save_half(checkpoint: str | Path, path: str | Path) -> None:
    """Writes a copy of a checkpoint with the weights of its layers, the tensors of two or more axes, in 16 bits.

    Whoever loads it, as a teacher or to start from, computes with them in the precision of the network.

    Raises:
        InputError: a checkpoint that cannot be read, holds what is not finite or is too large for 16 bits.
    """
    content = read_checkpoint(checkpoint)
    state = state_dict_of(content, checkpoint)
    halves = {
        name: value.half() if value.is_floating_point() and value.dim() > 1 else value for name, value in state.items()
    }
    if wide := [name for name, value in halves.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise InputError(f"{checkpoint}: {wide[0]} has values that 16 bits do not hold")
    write_tensors(path, {**content, "state_dict": halves})


def new_detector(model: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Builds the `model` section (`pretrained=False`: without ImageNet weights); InputError if it makes none."""
    backbone = model["backbone"] if pretrained else {**model["backbone"], "pretrained": None}
    try:
        detector = build_detector({**model, "backbone": backbone})
        with torch.no_grad():  # fails here, not hours later, if parts do not fit
            TASKS[detector.task].try_out(detector.eval())
    except (RuntimeError, TypeError, ValueError, ZeroDivisionError, AttributeError, AssertionError) as error:
        raise InputError(f"section 'model' cannot be built: {' '.join(str(error).split())}") from error
    return detector.train()


def load_detector(model: Mapping[str, Any], path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Builds a detector from the `model` section and loads a checkpoint into it, every tensor of it.

    Returns:
        The detector in evaluation mode on the CPU, and the rest of the checkpoint (epoch, metrics, ...).

    Raises:
        InputError: the file is missing, truncated, refused by `weights_only=True`; or see `restore_detector`.
    """
    checkpoint = read_checkpoint(path)
    return restore_detector(model, checkpoint, path), {k: v for k, v in checkpoint.items() if k != "state_dict"}


def own_config(checkpoint: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """The config that a checkpoint was trained with; InputError if it holds none."""
    config = checkpoint.get("config")
    if not isinstance(config, dict) or not {"model", "data"} <= config.keys():
        raise InputError(
            f"{source}: does not hold the config that it was trained with; bring it over with "
            "tools/import_checkpoint.py, or use test.py, which takes a config"
        )
    return config


def restore_detector(model: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str | Path) -> nn.Module:
    """A detector, in evaluation mode on the CPU, from the content of a checkpoint.

    Raises:
        InputError: the checkpoint is of another network than the `model` section, or holds values that are not finite.
    """
    state = state_dict_of(checkpoint, source)
    check_same_model(model, checkpoint, source)
    detector = new_detector(model, pretrained=False)
    load_strict(detector, state, source=source)
    if hasattr(detector, "classes"):
        detector.classes = tuple(checkpoint.get("classes", ()))
    return detector.eval().to(memory_format=torch.channels_last)


def check_same_model(model: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str | Path) -> None:
    """Refuses a checkpoint that was trained with another `model` section: with the same shapes it would load.

    Checkpoints that hold no config of this project, imported ones for example, are accepted unchecked. Keys that only
    select among the detections may differ, which is logged.

    Args:
        model: the `model` section that the weights are to be loaded under.
        checkpoint: the content of the file.
        source: the file, for messages.

    Raises:
        InputError: names the key that differs, and both values.
    """
    for key, trained, now, adjustable in _differences(model, checkpoint):
        if not adjustable:
            raise InputError(
                f"{source}: was trained with {key}={trained!r}, the config has {now!r}; use the config that it was "
                "trained with"
            )
        logger.warning("%s: was trained with %s=%r, runs with %r", source, key, trained, now)


def warn_other_model(
    model: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str | Path, classes: Sequence[str] = ()
) -> None:
    """Logs the differences between the `model` section and that of a checkpoint to start from.

    Args:
        classes: class names of an object detector, in the order of its labels.
    """
    different = [f"{key} ({before!r} there, {now!r} here)" for key, before, now, _ in _differences(model, checkpoint)]
    if different:
        logger.warning("%s: is of a network that differs in %s", source, ", ".join(different))
    before = checkpoint.get("classes") or classes
    if list(before) != list(classes):
        label = next((i for i, (a, b) in enumerate(zip(before, classes), 1) if a != b), None)
        other = f"class {label} was '{before[label - 1]}', is '{classes[label - 1]}'" if label else "other classes"
        logger.warning("%s: its labels mean something else: %s; its heads learn anew what they mean", source, other)


def _differences(model: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> list[Difference]:
    config = checkpoint.get("config")
    trained = config.get("model") if isinstance(config, Mapping) else None
    return model_differences(trained, model) if isinstance(trained, Mapping) and "type" in trained else []
