"""Finds the compiled extensions, or says how to build them."""

from typing import NoReturn

from errors import InputError

_problem: str | None = None
try:
    from post_processing.pa import pa
except ImportError as error:
    _missing = isinstance(error, ModuleNotFoundError) and error.name == "post_processing.pa"
    _problem = "is missing" if _missing else f"cannot be loaded ({error})"

    def pa(kernels, emb, min_area=0) -> NoReturn:
        """Stands in for the extension that is not there and always raises InputError."""
        require_extension()


def require_extension() -> None:
    """Return silently when the extensions are there.

    Raises:
        InputError: they are not built, or not for this Python; the message says how to build them.
    """
    if _problem is not None:
        raise InputError(f"the compiled extension post_processing.pa {_problem}: run  sh ./compile.sh")
