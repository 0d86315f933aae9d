"""Resumption of an interrupted run: its identity, the settings that may change, and its files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from distillation import Learner
from distillation.multineck.provenance import tensors_sha256
from engine.experiment import Experiment
from engine.settings import TrainSettings
from engine.training.callbacks import RESUME_FILE
from engine.training.module import TrainingModule
from errors import InputError
from models.identity import meaning
from models.weights import read_checkpoint, state_dict_of

logger = logging.getLogger(__name__)

OWN_FILES = ("checkpoint_", "resume", "logs", "val_results")  # prefixes of its files in the folder of a run
# These must not change; any other change takes effect from the next epoch on.
_FIXED_SETTINGS = [f"train_cfg.{key}" for key in ("optimizer", "parts", "seed", "ema")]
FIXED = ("model", "loss", "distiller", *_FIXED_SETTINGS, "classes", "frozen")
# Paths of a run's inputs: their content is compared in `frozen`, or has no effect after the start.
PLACES = ("checkpoint", "config", "centers", "cfg_options", "pretrained", "pretrain", "result_path")

PATIENCE = 30  # seconds


def identity(cfg: Experiment, learner: Learner, images: int, devices: int, classes: Sequence[str]) -> dict[str, Any]:
    """Identity of a run, to be stored in the file to resume from.

    Args:
        learner: the learner before training.
        images: number of images in the training split.
        devices: number of processes.
        classes: class names of an object detector, in the order of its labels.
    """
    learned = {key for key in learner.state_dict() if not key.startswith("teachers.")}
    tensors = {**dict(learner.named_parameters()), **dict(learner.named_buffers())}
    frozen = {key: value for key, value in tensors.items() if key not in learned}
    return {
        "config": cfg.config,
        "frozen": tensors_sha256(frozen),  # teachers, class centres
        "classes": list(classes),
        "images": images,
        "devices": devices,
    }


def resume_point(
    folder: Path, run: Mapping[str, Any], module: TrainingModule, wait: bool = False
) -> tuple[Path | None, int]:
    """Returns the file to resume from, if there is one, and the number of epochs (or parts) that are done.

    Args:
        folder: folder of the run.
        run: its current `identity`; permitted changes are logged.
        module: the module that will be trained.
        wait: wait for a file that is not there: shared folders show the files of another machine late.

    Raises:
        InputError: the file is damaged, of a network with other tensors, or of another run.
    """
    path = folder / RESUME_FILE
    end = time.monotonic() + PATIENCE
    while wait and not path.is_file() and time.monotonic() < end:
        time.sleep(0.5)
    if not path.is_file():
        logger.warning("%s: nothing to resume from, the run starts at the beginning", path)
        return None, 0
    content = read_checkpoint(path)
    state, before = state_dict_of(content, path), content.get("run")
    own = {key: value for key, value in module.state_dict().items() if not key.startswith("learner.teachers.")}
    different = [k for k in {*own, *state} if k not in own or k not in state or own[k].shape != state[k].shape]
    if different:
        raise InputError(f"{path}: of another architecture ({len(different)} tensors, {min(different)}, ...)")
    groups = [group for optimizer in content.get("optimizer_states", ()) for group in optimizer["param_groups"]]
    sizes = [[len(group["params"]) for group in some] for some in (groups, module.parameter_groups())]
    if not isinstance(before, Mapping) or sizes[0] != sizes[1]:
        raise InputError(f"{path}: written by an earlier version; start anew with train_cfg.pretrain={folder}/...")
    _compare(path, dict(_facts(_spelt_out(before))), dict(_facts(_spelt_out(run))))
    done, whole = before["epochs"], module.settings.epoch * module.settings.parts
    if done > whole:
        raise InputError(f"{path}: {done} epochs are done, train_cfg.epoch asks for {whole}; give {done} or more")
    return path, done


def _spelt_out(run: Mapping[str, Any]) -> dict[str, Any]:
    """Identity of a run with all defaults of its model and train_cfg sections, so that giving one is no change.

    `recompute` saves memory and changes nothing else.
    """
    model = {key: value for key, value in meaning(run["config"]["model"], training=True).items() if key != "recompute"}
    config = {**run["config"], "model": model}
    config["train_cfg"] = {f.name: f.default for f in fields(TrainSettings)} | dict(config.get("train_cfg", {}))
    return {**run, "config": config}


def _compare(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    said = {key: f"{key} (was {before.get(key, 'not set')}, is {now.get(key, 'not set')})" for key in changed}
    said["frozen"] = "the weights of its teachers, or its class centres"
    fixed = [key for key in changed if any(f"{key}.".startswith(f"{name}.") for name in FIXED)]
    if fixed:
        raise InputError(
            f"{path}: of a run that differs in {said[fixed[0]]}, which cannot change on the way; put it back, or start "
            "anew in another --work-dir (with train_cfg.pretrain, if need be)"
        )
    if changed:
        logger.warning("%s: from here on with %s", path.parent, ", ".join(said[key] for key in changed))


def _facts(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested sections by their paths; the config's own sections stand at the top."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            if key not in (*PLACES, "epochs") or not isinstance(part, (str, list, tuple, int, type(None))):
                yield from _facts(part, path if (path, key) == ("", "config") else f"{path}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from _facts(part, f"{path}.{index}")
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def start_anew(folder: Path, cfg: Experiment, devices: int) -> None:
    """Moves the files of an earlier run in the folder aside.

    Raises:
        InputError: a file of the earlier run is an input of this one, and several processes need it at their start.
    """
    earlier = [path for path in folder.glob("*") if path.name.startswith(OWN_FILES)]
    teachers = cfg.distiller.teachers if cfg.distiller else []
    read = [cfg.train_cfg.pretrain, *(teacher.checkpoint for teacher in teachers)]
    moved = {path.resolve() for path in earlier} & {Path(path).resolve() for path in read if path}
    if moved and devices > 1:
        raise InputError(f"{min(moved)}: the run's folder would be moved aside; give another --work-dir")
    if earlier:
        _set_aside(earlier, folder)


@rank_zero_only
def _set_aside(earlier: Sequence[Path], folder: Path) -> None:
    number = 1
    while (target := folder / f"earlier_{number}").exists():
        number += 1
    target.mkdir()
    for path in earlier:
        path.rename(target / path.name)
    logger.info("%s: an earlier run was there and is now in %s (go on with one by --resume)", folder, target)
