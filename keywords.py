"""Keyword arguments of a class, those that it passes on to its base class included."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter


def keywords(kind: Callable) -> dict[str, Parameter]:
    """Parameters of a class or function that can be given by name, annotations evaluated.

    A constructor with `**kwargs` takes those of the next class in the order of inheritance, too.
    """
    makers = [vars(c)["__init__"] for c in kind.__mro__ if "__init__" in vars(c)] if isinstance(kind, type) else [kind]
    found: dict[str, Parameter] = {}
    for maker in makers:
        parameters = list(inspect.signature(maker, eval_str=True).parameters.values())[isinstance(kind, type) :]
        named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        found = {p.name: p for p in parameters if p.kind in named} | found
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            break
    return found
