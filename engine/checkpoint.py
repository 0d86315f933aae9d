"""Checkpoints: a student alone, with its config, the git revision and its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.files import git_revision, write_tensors
from engine.tasks import TASKS
from errors import InputError
from models import build_detector
from models.weights import load_strict, read_checkpoint, state_dict_of


def save_checkpoint(
    path: str | Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    epoch: int,
    metrics: Mapping[str, float],
    classes: Sequence[str] = (),
) -> None:
    """Writes aside, then renames: a file under its final name is always whole.

    Args:
        classes: names of what an object detector was trained on, in the order of its labels.
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


def new_detector(model: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Builds the `model` section (`pretrained=False`: without ImageNet weights); InputError if it makes none."""
    backbone = model["backbone"] if pretrained else {**model["backbone"], "pretrained": None}
    try:
        detector = build_detector({**model, "backbone": backbone})
        with torch.no_grad():  # parts that do not fit each other show here, not hours later
            TASKS[detector.task].try_out(detector.eval())
    except (RuntimeError, TypeError, ValueError, ZeroDivisionError, AttributeError, AssertionError) as error:
        raise InputError(f"section 'model' cannot be built: {' '.join(str(error).split())}") from error
    return detector.train()


def load_detector(model: Mapping[str, Any], path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Builds a detector from the `model` section and loads a checkpoint into it, every tensor of it.

    Returns:
        The detector in evaluation mode on the CPU, and the rest of the checkpoint (epoch, metrics, ...).

    Raises:
        InputError: the file is missing, truncated, refused by `weights_only=True`, or of another architecture.
    """
    checkpoint = read_checkpoint(path)
    detector = new_detector(model, pretrained=False)
    load_strict(detector, state_dict_of(checkpoint, path), source=path)
    detector = detector.eval().to(memory_format=torch.channels_last)
    return detector, {key: value for key, value in checkpoint.items() if key != "state_dict"}
