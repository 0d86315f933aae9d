"""Loading a config file, applying --cfg-options, and naming what is wrong with it in one line."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from mmengine.config import Config
from mmengine.registry import Registry

from dataset import PARSERS, TestTransform, TrainTransform
from distillation import LEARNERS
from engine.settings import TestSettings, TrainSettings
from errors import InputError
from models import LOSSES, MODELS

_PLAIN = {int, float, str, bool, NoneType}
SECTIONS = ("model", "loss", "data", "train_cfg", "test_cfg", "distiller")
_DATA_KEYS = ("batch_size", "num_workers", "root", "train", "test")
_FROM_ENGINE = {"student", "loss", "root"}  # handed over by the engine, not by a config


def load_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """Reads a Python config file, applies `key.path=value` options and checks every key and type name.

    Raises:
        InputError: the file is missing or not valid Python; an unknown key, type or option path, with the nearest
            valid name.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such config file{_nearest(str(path), map(str, Path('config').rglob('*.py')))}")
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:  # a config is arbitrary Python: whatever it raises is the user's to mend
        raise InputError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    changes = dict(_parse_option(option) for option in options)
    for key in changes:
        _check_option_path(cfg, key)
    try:
        cfg.merge_from_dict(changes, allow_list_keys=True)
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(f"--cfg-options {' '.join(options)}: {error}") from error
    try:
        check_config(cfg.to_dict())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return cfg


def check_config(cfg: Mapping[str, Any]) -> None:
    """Checks all keys and type names of a config; InputError names the first that is wrong."""
    _check_names("", cfg, SECTIONS)
    for section in ("model", "loss", "data"):
        if section not in cfg:
            raise InputError(f"section '{section}' is missing")
    _check_type("model", cfg["model"], MODELS)
    _check_names("model", cfg["model"], {"type", *_parameters(MODELS.get(cfg["model"]["type"]))})
    _check_values("model", cfg["model"], MODELS.get(cfg["model"]["type"]))
    for part in ("backbone", "neck", "head"):
        _check_typed(f"model.{part}", cfg["model"].get(part), MODELS)
    for part in ("transformer", "adapter"):
        if cfg["model"].get(part) is not None:
            _check_typed(f"model.{part}", cfg["model"][part], MODELS)
    _check_typed("loss", cfg["loss"], LOSSES)
    _check_names("data", cfg["data"], _DATA_KEYS)
    if not isinstance(cfg["data"].get("root"), str):
        raise InputError(f"data.root={cfg['data'].get('root')!r}: expected the path of a folder")
    for key, least in (("batch_size", 1), ("num_workers", 0)):
        value = cfg["data"].get(key, least)
        if type(value) is not int or value < least:
            raise InputError(f"data.{key}={value!r}: expected a whole number, {least} or more")
    for split, transform in (("train", TrainTransform), ("test", TestTransform)):
        if split not in cfg["data"]:
            if split == "test":  # a config that only trains
                continue
            raise InputError(f"data.{split} is missing")
        part = cfg["data"][split]
        _check_type(f"data.{split}", part, PARSERS)
        known = _parameters(PARSERS.get(part["type"])) | _parameters(transform)
        _check_names(f"data.{split}", part, {"type", "root", *known})
        _check_values(f"data.{split}", part, transform)
    train_settings(cfg)
    test_settings(cfg)
    if "distiller" in cfg:
        distiller = cfg["distiller"]
        _check_typed("distiller", distiller, LEARNERS)
        teachers = distiller.get("teachers")
        if not isinstance(teachers, Sequence) or not teachers:
            raise InputError("distiller.teachers: expected a list of dict(config=..., checkpoint=...)")
        for i, teacher in enumerate(teachers):
            _check_names(f"distiller.teachers.{i}", teacher, ("config", "checkpoint"))
            for key in ("config", "checkpoint"):
                if not isinstance(teacher.get(key), str):
                    raise InputError(f"distiller.teachers.{i}.{key}={teacher.get(key)!r}: expected a path")


def train_settings(cfg: Mapping[str, Any]) -> TrainSettings:
    """The checked `train_cfg` section."""
    return _settings("train_cfg", cfg, TrainSettings)


def test_settings(cfg: Mapping[str, Any]) -> TestSettings:
    """The checked `test_cfg` section."""
    return _settings("test_cfg", cfg, TestSettings)


test_settings.__test__ = False  # not a test case, whatever pytest makes of the name


def _settings(section: str, cfg: Mapping[str, Any], kind: Callable) -> Any:
    values = cfg.get(section, {})
    _check_names(section, values, _parameters(kind))
    _check_values(section, values, kind)
    return kind(**values)


def _parse_option(option: str) -> tuple[str, Any]:
    key, separator, text = option.partition("=")
    if not separator or not key:
        raise InputError(f"--cfg-options {option}: expected key.path=value")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False}.get(text, text)


def _check_option_path(cfg: Any, key: str) -> None:
    """Every part of a path but the last must exist; whether the last may is checked with the whole config."""
    at = cfg
    *parents, _ = key.split(".")
    for depth, name in enumerate(parents):
        known = list(map(str, range(len(at)))) if isinstance(at, list) else list(at) + list(SECTIONS) * (depth == 0)
        if name not in known:
            where = ".".join(parents[: depth + 1])
            raise InputError(f"--cfg-options {key}: the config has no '{where}'{_nearest(name, known)}")
        at = at[int(name)] if isinstance(at, list) else at.get(name, {})
        if not isinstance(at, (Mapping, list)):
            raise InputError(f"--cfg-options {key}: '{'.'.join(parents[: depth + 1])}' is a value, not a section")


def _check_typed(path: str, part: Any, registry: Registry) -> None:
    _check_type(path, part, registry)
    _check_names(path, part, {"type", *_parameters(registry.get(part["type"]))})
    _check_values(path, part, registry.get(part["type"]))


def _check_type(path: str, part: Any, registry: Registry) -> None:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InputError(f"{path}: expected a dict with a 'type'")
    if part["type"] not in registry.module_dict:
        known = sorted(registry.module_dict)
        raise InputError(
            f"{path}.type='{part['type']}': unknown{_nearest(part['type'], known)}, known: {', '.join(known)}"
        )


def _check_names(path: str, part: Any, known: Iterable[str]) -> None:
    if not isinstance(part, Mapping):
        raise InputError(f"{path}: expected a dict, got {part!r}")
    known = sorted(known)
    for key in part:
        if key not in known:
            where = f"{path}.{key}" if path else key
            raise InputError(f"unknown key '{where}'{_nearest(key, known)}, known: {', '.join(known)}")


def _check_values(path: str, part: Mapping[str, Any], kind: Callable) -> None:
    """Values of parameters that are annotated as numbers, strings, flags or None must be such."""
    for name, parameter in inspect.signature(kind, eval_str=True).parameters.items():
        expected = get_args(parameter.annotation) or (parameter.annotation,)
        if name not in part or not set(expected) <= _PLAIN:
            continue
        given = {int, float} if type(part[name]) is int else {type(part[name])}
        if not given & set(expected):
            what = " or ".join("None" if t is NoneType else t.__name__ for t in expected)
            raise InputError(f"{path}.{name}={part[name]!r}: expected {what}")


def _parameters(kind: Callable) -> set[str]:
    return set(inspect.signature(kind).parameters) - _FROM_ENGINE


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
