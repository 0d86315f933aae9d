"""Checks of the sections of a config; each names the error in one line, with the nearest valid name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from mmengine.registry import Registry

from errors import InputError
from keywords import keywords

_WEIGHTS = ("alpha", "beta", "gamma", "lambda_")  # of losses, besides those named so
_DIVISORS = ("divisor", "temperature")
_PLAIN = {int, float, str, bool, NoneType}


def check_typed(path: str, part: Any, registry: Registry, given: Iterable[str] = (), own: Iterable[str] = ()) -> None:
    """Checks a section built from a registry: its type, its keys and its plain values.

    Args:
        given: arguments that the engine passes, which no config may set.
        own: keys that the engine reads itself.
    """
    check_type(path, part, registry.module_dict)
    kind = registry.get(part["type"])
    check_names(path, part, {"type", *own, *(keywords(kind).keys() - set(given))})
    check_values(path, part, kind)


def check_type(path: str, part: Any, known: Iterable[str]) -> None:
    """Checks that `type` of a section is one of the known names."""
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InputError(f"{path}: expected a dict with a 'type'")
    known = sorted(known)
    if part["type"] not in known:
        raise InputError(
            f"{path}.type='{part['type']}': unknown{nearest(part['type'], known)}, known: {', '.join(known)}"
        )


def check_names(path: str, part: Any, known: Iterable[str]) -> None:
    """Checks that all keys of a section are known."""
    if not isinstance(part, Mapping):
        raise InputError(f"{path}: expected a dict, got {part!r}")
    known = sorted(known)
    for key in part:
        if key not in known:
            where = f"{path}.{key}" if path else key
            raise InputError(f"unknown key '{where}'{nearest(key, known)}, known: {', '.join(known)}")


def check_values(path: str, part: Mapping[str, Any], kind: Callable) -> None:
    """Checks the types of values whose parameters are annotated as numbers, strings, flags or None."""
    for name, parameter in keywords(kind).items():
        annotation = parameter.annotation
        expected = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        if name not in part or not all(option in _PLAIN for option in expected):
            continue
        given = {int, float} if type(part[name]) is int else {type(part[name])}
        if not given & set(expected):
            what = " or ".join("None" if t is NoneType else t.__name__ for t in expected)
            raise InputError(f"{path}.{name}={part[name]!r}: expected {what}")
        if type(part[name]) in (int, float):
            _check_number(f"{path}.{name}", part[name])


def _check_number(key: str, value: float) -> None:
    """Refuses infinities and NaN, loss weights below 0, and divisors of 0 or less."""
    name = key.rpartition(".")[2]
    least, wanted = -math.inf, "a finite number"
    if name.endswith("weight") or name in _WEIGHTS:
        least, wanted = 0, "0 or more"
    elif name in _DIVISORS:
        least, wanted = math.ulp(0), "a number above 0"
    if not math.isfinite(value) or value < least:
        raise InputError(f"{key}={value!r}: expected {wanted}")


def check_settings(section: str, cfg: Mapping[str, Any], kind: Callable) -> Any:
    """Checks a section with fixed keys, such as `train_cfg`, and makes its settings object."""
    values = cfg.get(section, {})
    check_names(section, values, keywords(kind))
    check_values(section, values, kind)
    return kind(**values)


def one_of(key: str, value: str, allowed: Iterable[str]) -> None:
    """Checks that a value is one of the allowed ones."""
    if value not in allowed:
        raise InputError(f"{key}={value!r}: expected one of {', '.join(allowed)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns '; did you mean ...?', or an empty string."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
