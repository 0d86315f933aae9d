"""Loading of the compiled extensions, with build instructions where they are missing."""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from errors import InputError

_problems: list[str] = []


def _load(name: str) -> Callable[..., np.ndarray]:
    """The function ``name`` of the extension of that name, or one in its place that always raises InputError."""
    module = f"post_processing.{name}"
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        problem = "is missing" if missing else f"cannot be loaded ({error})"
    message = f"the compiled extension {module} {problem}: run  sh ./compile.sh"
    _problems.append(message)

    def refuse(*args, **kwargs):
        raise InputError(message)

    return refuse


pa = _load("pa")
pse = _load("pse")


def require_extension() -> None:
    """Check that the compiled extensions are available.

    Raises:
        InputError: one is not built, or not for this Python; the message says how to build it.
    """
    if _problems:
        raise InputError(_problems[0])
