"""An experiment: a config file read, checked and turned into typed settings, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dataset import Split
from distillation import LEARNERS
from engine.checks import check_names, check_settings, check_typed
from engine.config import SECTIONS, read_config
from engine.settings import DataSettings, DistillerSettings, TeacherSettings, TrainSettings, UnlabelledSettings
from engine.tasks import task_of
from engine.tasks.base import Task
from errors import InputError
from keywords import keywords
from models import MODELS


@dataclass(frozen=True)
class Experiment:
    """Typed settings of a config.

    Attributes:
        path: path of the config file.
        config: the sections as read, after options; checkpoints store them.
        task: the task, text or object detection.
        model: the `model` section, which models.build_detector takes.
        loss: the `loss` section, which models.LOSSES builds; None for object detectors.
        data, train_cfg, distiller: see engine.settings.
        test_cfg: settings of the task's own kind.
    """

    path: str
    config: dict[str, Any]
    task: Task
    model: dict[str, Any]
    loss: dict[str, Any] | None
    data: DataSettings
    train_cfg: TrainSettings
    test_cfg: Any
    distiller: DistillerSettings | None

    @property
    def pretrained_backbone(self) -> bool:
        """True if the backbone starts from pretrained weights."""
        return self.model["backbone"].get("pretrained") is not None


def load_experiment(path: str | Path, options: Sequence[str] = ()) -> Experiment:
    """Reads a config file, applies `key.path=value` options, and checks every key, type name and value.

    Raises:
        InputError: the file is missing or not valid Python; an unknown key, type or option path, with the nearest
            valid name; or a value of another type.
    """
    config = read_config(path, options)
    try:
        return experiment_of(config, path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def experiment_of(config: Mapping[str, Any], path: str | Path) -> Experiment:
    """Makes the experiment of sections that have been read; InputError names the first entry that is wrong."""
    try:
        check_names("", config, SECTIONS)
    except InputError as error:
        raise InputError(f"{error}; names for the config's own use begin with '_'") from None
    for section in ("model", "data"):
        if section not in config:
            raise InputError(f"section '{section}' is missing")
    _check_model(config["model"])
    task = task_of(config)
    task.check(config)
    data = _data(config["data"], task)
    detects = MODELS.get(config["model"]["type"]).task
    distiller = _distiller(config["distiller"], detects) if "distiller" in config else None
    if data.unlabelled and (distiller is None or distiller.kind.needs_labels):
        who = "a network alone" if distiller is None else distiller.kind.__name__
        raise InputError(f"data.unlabelled: {who} learns nothing without labels; use SoftMapDistiller, or leave it out")
    return Experiment(
        path=str(path),
        config=dict(config),
        task=task,
        model=config["model"],
        loss=config.get("loss"),
        data=data,
        train_cfg=check_settings("train_cfg", config, TrainSettings),
        test_cfg=check_settings("test_cfg", config, task.settings),
        distiller=distiller,
    )


def _check_model(model: Any) -> None:
    check_typed("model", model, MODELS)
    for name, parameter in keywords(MODELS.get(model["type"])).items():
        part = model.get(name)
        is_part = parameter.annotation in (nn.Module, nn.Module | None)
        if is_part and (part is not None or parameter.default is parameter.empty):
            check_typed(f"model.{name}", part, MODELS)


def _data(data: Any, task: Task) -> DataSettings:
    check_names("data", data, keywords(DataSettings))
    if not isinstance(data.get("root"), str):
        raise InputError(f"data.root={data.get('root')!r}: expected the path of a folder")
    for key, least in (("batch_size", 1), ("num_workers", 0)):
        value = data.get(key, least)
        if (key, value) == ("num_workers", None):
            continue
        if type(value) is not int or value < least:
            raise InputError(f"data.{key}={value!r}: expected a whole number, {least} or more")
    if data.get("train") is None:
        raise InputError("data.train is missing")
    splits = {name: _split(data, name, task) for name in ("train", "test")}
    return DataSettings(**{**data, **splits, "unlabelled": _unlabelled(data.get("unlabelled"), task)})


def _unlabelled(section: Any, task: Task) -> UnlabelledSettings | None:
    if section is None:
        return None
    if not task.takes_unlabelled:
        raise InputError("data.unlabelled: is for text detectors; leave it out")
    check_names("data.unlabelled", section, keywords(UnlabelledSettings))
    root, size, predictions = (section.get(key) for key in ("root", "batch_size", "predictions"))
    if not isinstance(root, str):
        raise InputError(f"data.unlabelled.root={root!r}: expected the path of a folder")
    if type(size) is not int or size < 1:
        raise InputError(f"data.unlabelled.batch_size={size!r}: expected a whole number, 1 or more")
    if not isinstance(predictions, str | None):
        raise InputError(f"data.unlabelled.predictions={predictions!r}: expected the path of a file")
    return UnlabelledSettings(root, size, predictions)


def _split(data: Mapping[str, Any], name: str, task: Task) -> Split | None:
    section = data.get(name)
    return None if section is None else task.split(f"data.{name}", section, data["root"], training=name == "train")


def _distiller(distiller: Any, detects: str) -> DistillerSettings:
    kind = LEARNERS.get(distiller["type"]) if isinstance(distiller, Mapping) and "type" in distiller else None
    if kind and kind.task not in (None, detects):
        kinds = ", ".join(sorted(name for name, kind in LEARNERS.module_dict.items() if kind.task in (None, detects)))
        raise InputError(f"distiller.type='{kind.__name__}': is not for {detects}; use one of {kinds}")
    check_typed("distiller", distiller, LEARNERS, given=getattr(kind, "given", ()), own=("teachers",))
    entries = distiller.get("teachers", None if kind.needs_teachers else [])
    if not isinstance(entries, Sequence) or (kind.needs_teachers and not entries):
        raise InputError("distiller.teachers: expected a list of dict(config=..., checkpoint=...)")
    known = ("config", "checkpoint", "cfg_options", *(["centers"] if "centers" in kind.given else []))
    teachers = [_teacher(f"distiller.teachers.{i}", entry, known) for i, entry in enumerate(entries)]
    options = {key: value for key, value in distiller.items() if key not in ("type", "teachers")}
    return DistillerSettings(kind, teachers, options)


def _teacher(field: str, entry: Any, known: Sequence[str]) -> TeacherSettings:
    check_names(field, entry, known)
    for key in ("config", "checkpoint", *(["centers"] if "centers" in entry else [])):
        if not isinstance(entry.get(key), str):
            raise InputError(f"{field}.{key}={entry.get(key)!r}: expected a path")
    options = entry.get("cfg_options", [])
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InputError(f"{field}.cfg_options={options!r}: expected a list of 'key.path=value'")
    return TeacherSettings(**entry)
