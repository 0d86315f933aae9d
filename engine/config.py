"""Loading a config file, applying --cfg-options, and naming what is wrong with it in one line."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import nn

from distillation import LEARNERS
from engine.checks import check_names, check_settings, check_typed, nearest
from engine.settings import TrainSettings
from engine.tasks import task_of
from engine.tasks.base import Task
from errors import FULL, InputError
from files import read_text
from models import MODELS

SECTIONS = ("model", "loss", "data", "train_cfg", "test_cfg", "distiller")
_DATA_KEYS = ("batch_size", "num_workers", "root", "train", "test")


def load_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """Reads a Python config file, applies `key.path=value` options and checks every key and type name.

    Raises:
        InputError: the file is missing or not valid Python; an unknown key, type or option path, with the nearest
            valid name.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such config file{nearest(str(path), map(str, Path('config').rglob('*.py')))}")
    _check_sources(path)
    cfg = _read(path)
    changes = dict(_parse_option(option) for option in options)
    elements = {key: value for key, value in changes.items() if _is_element(cfg, key)}
    try:
        cfg.merge_from_dict({k: v for k, v in changes.items() if k not in elements}, allow_list_keys=True)
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(f"--cfg-options {' '.join(options)}: {error}") from error
    for key, value in elements.items():
        *parents, index = key.split(".")
        functools.reduce(lambda at, name: at[int(name) if isinstance(at, list) else name], parents, cfg)[int(index)] = (
            value
        )
    try:
        check_config(cfg.to_dict())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return cfg


def _check_sources(path: Path, bases: tuple[Path, ...] = ()) -> None:
    """Checks a config file, and those that it is based on, before any of them is run.

    Raises:
        InputError: a file that is missing, no text, no Python, based on itself, or of another kind than .py.
    """
    if path.suffix != ".py":
        raise InputError(
            f"{path}: is no config, which is a Python file, .py; where a checkpoint or a folder of them is given, too, "
            "the config comes first"
        )
    if path.resolve() in bases:
        raise InputError(f"{path}: is based on itself, by way of its _base_; take it out of one of them")
    try:
        tree = ast.parse(read_text(path))
    except SyntaxError as error:
        raise InputError(f"{path}: SyntaxError: {error.msg}, line {error.lineno}; mend it there") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as Python: {error}; save it as UTF-8 text") from error
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "_base_" for target in targets):
            try:
                names = ast.literal_eval(statement.value)
            except ValueError as error:
                raise InputError(f"{path}: _base_: expected the path of a config, or a list of them") from error
            for name in [names] if isinstance(names, str) else names:
                base = path.parent / name
                if not base.is_file():
                    raise InputError(f"{path}: _base_: no such config file: {base}; paths begin at this file's folder")
                _check_sources(base, (*bases, path.resolve()))


def _read(path: Path) -> Config:
    """Runs a config file; what is in it are plain values afterwards, and its helper variables are gone."""
    try:
        cfg = Config.fromfile(str(path), lazy_import=False)
    except (Exception, SystemExit) as error:  # a config is arbitrary Python: whatever it raises is the user's to mend
        if isinstance(error, SystemExit) and error.code in (130, 143):  # of a signal, see errors
            raise
        if isinstance(error, OSError) and error.errno in FULL:
            error.filename = error.filename or tempfile.gettempdir()  # where the library copies the file to
            raise
        raise InputError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    sections = {key: value for key, value in cfg.to_dict().items() if not key.startswith("_")}
    try:
        return Config(_plain("", sections), filename=str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _plain(key: str, value: Any) -> Any:
    """A value of a config as checkpoints can hold it: dicts, lists, tuples, strings, numbers, None.

    Raises:
        InputError: names the key of what is none of these.
    """
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InputError(f"{key or 'config'}: the key {name!r} is no string; put quotes around it")
        return {name: _plain(f"{key}.{name}".lstrip("."), own) for name, own in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(f"{key}.{index}", own) for index, own in enumerate(value))
    if isinstance(value, (list, range)):
        return [_plain(f"{key}.{index}", own) for index, own in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(key, value.tolist())
    if value is None or type(value) in (bool, int, float, str):
        return value
    what = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
    raise InputError(
        f"{key}: is {what}, expected numbers, strings, lists and dicts; write it out, or, for the config's own use, "
        "let the name begin with '_'"
    )


def check_config(cfg: Mapping[str, Any]) -> None:
    """Checks all keys and type names of a config; InputError names the first that is wrong."""
    try:
        check_names("", cfg, SECTIONS)
    except InputError as error:
        raise InputError(f"{error}; names for the config's own use begin with '_'") from None
    for section in ("model", "data"):
        if section not in cfg:
            raise InputError(f"section '{section}' is missing")
    check_typed("model", cfg["model"], MODELS)
    kind = MODELS.get(cfg["model"]["type"])
    for name, parameter in inspect.signature(kind, eval_str=True).parameters.items():
        part = cfg["model"].get(name)
        is_part = parameter.annotation in (nn.Module, nn.Module | None)
        if is_part and (part is not None or parameter.default is parameter.empty):
            check_typed(f"model.{name}", part, MODELS)
    task = task_of(cfg)
    task.check(cfg)
    _check_data(cfg["data"], task)
    train_settings(cfg)
    test_settings(cfg)
    if "distiller" in cfg:
        _check_distiller(cfg["distiller"])


def _check_data(data: Any, task: Task) -> None:
    check_names("data", data, _DATA_KEYS)
    if not isinstance(data.get("root"), str):
        raise InputError(f"data.root={data.get('root')!r}: expected the path of a folder")
    for key, least in (("batch_size", 1), ("num_workers", 0)):
        value = data.get(key, least)
        if type(value) is not int or value < least:
            raise InputError(f"data.{key}={value!r}: expected a whole number, {least} or more")
    if data.get("train") is None:
        raise InputError("data.train is missing")
    for split in ("train", "test"):  # a config without data.test only trains
        if data.get(split) is not None:
            task.check_split(f"data.{split}", data[split], training=split == "train")


def _check_distiller(distiller: Any) -> None:
    check_typed("distiller", distiller, LEARNERS)
    teachers = distiller.get("teachers")
    if not isinstance(teachers, Sequence) or not teachers:
        raise InputError("distiller.teachers: expected a list of dict(config=..., checkpoint=...)")
    takes_centers = "centers" in inspect.signature(LEARNERS.get(distiller["type"])).parameters
    for i, teacher in enumerate(teachers):
        field = f"distiller.teachers.{i}"
        check_names(field, teacher, ("config", "checkpoint", "cfg_options", *(["centers"] if takes_centers else [])))
        for key in ("config", "checkpoint", *(["centers"] if "centers" in teacher else [])):
            if not isinstance(teacher.get(key), str):
                raise InputError(f"{field}.{key}={teacher.get(key)!r}: expected a path")
        options = teacher.get("cfg_options", [])
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise InputError(f"{field}.cfg_options={options!r}: expected a list of 'key.path=value'")


def train_settings(cfg: Mapping[str, Any]) -> TrainSettings:
    """The checked `train_cfg` section."""
    return check_settings("train_cfg", cfg, TrainSettings)


def test_settings(cfg: Mapping[str, Any]) -> Any:
    """The checked `test_cfg` section, of the kind that the task of the model asks for."""
    return check_settings("test_cfg", cfg, task_of(cfg).settings)


test_settings.__test__ = False  # not a test case, whatever pytest makes of the name


def _parse_option(option: str) -> tuple[str, Any]:
    key, separator, text = option.partition("=")
    if not separator or not key:
        raise InputError(f"--cfg-options {option}: expected key.path=value")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False}.get(text, text)


def _is_element(cfg: Any, key: str) -> bool:
    """Whether a path ends at an element of a list, by its index from 0.

    Every part of a path but the last must exist; whether the last may is checked with the whole config.
    """
    at = cfg
    *parents, last = key.split(".")
    for depth, name in enumerate(parents):
        known = list(map(str, range(len(at)))) if isinstance(at, list) else list(at) + list(SECTIONS) * (depth == 0)
        if name not in known:
            where = ".".join(parents[: depth + 1])
            raise InputError(f"--cfg-options {key}: the config has no '{where}'{nearest(name, known)}")
        at = at[int(name)] if isinstance(at, list) else at.get(name, {})
        if not isinstance(at, (Mapping, list)):
            raise InputError(f"--cfg-options {key}: '{'.'.join(parents[: depth + 1])}' is a value, not a section")
    if isinstance(at, list) and last not in map(str, range(len(at))):
        raise InputError(f"--cfg-options {key}: '{'.'.join(parents)}' is a list with indices 0 to {len(at) - 1}")
    return isinstance(at, list)
