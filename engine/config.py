"""Config files: executed, with the entries of --cfg-options applied, and reduced to plain values."""

from __future__ import annotations

import ast
import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from engine.checks import nearest
from errors import FULL, InputError
from files import read_text

SECTIONS = ("model", "loss", "data", "train_cfg", "test_cfg", "distiller")


def read_config(path: str | Path, options: Sequence[str] = ()) -> dict[str, Any]:
    """Sections of a Python config file, as dicts of plain values, after `key.path=value` options.

    Raises:
        InputError: the file is missing or not valid Python, or an option names no entry, with the nearest valid name.
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
    return cfg.to_dict()


def _check_sources(path: Path, bases: tuple[Path, ...] = ()) -> None:
    """Checks a config file, and those that it is based on, before any of them is run.

    Raises:
        InputError: a file is missing, not text, not Python, based on itself, or without the extension .py.
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
    """Runs a config file and returns its plain values, without helper variables."""
    try:
        cfg = Config.fromfile(str(path), lazy_import=False)
    except (Exception, SystemExit) as error:  # a config is arbitrary Python: any exception is an error of the user
        if isinstance(error, SystemExit) and error.code in (130, 143):  # after a signal, see errors
            raise
        if isinstance(error, OSError) and error.errno in FULL:
            error.filename = error.filename or tempfile.gettempdir()  # the library copies the file there
            raise
        raise InputError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    sections = {key: value for key, value in cfg.to_dict().items() if not key.startswith("_")}
    try:
        return Config(_plain("", sections), filename=str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _plain(key: str, value: Any) -> Any:
    """A config value reduced to types that checkpoints can hold: dicts, lists, tuples, strings, numbers, None.

    Raises:
        InputError: names the key of a value of another type.
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


def _parse_option(option: str) -> tuple[str, Any]:
    key, separator, text = option.partition("=")
    if not separator or not key:
        raise InputError(f"--cfg-options {option}: expected key.path=value")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False}.get(text, text)


def _is_element(cfg: Any, key: str) -> bool:
    """True if a path ends at an element of a list, by its index from 0.

    Every part of a path but the last must exist; the last is checked with the whole config.
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
