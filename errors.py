"""The one exception that means: what the user gave is wrong, and here is how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """A mistake in a file, a config or an option.

    The message is one line that names the file (and line), the field and the remedy. The scripts print it
    without a traceback and exit with code 2; every other exception is a defect of this project.
    """


def exit_code(work: Callable[[], None], debug: bool = False) -> int:
    """Runs what a program does. 0, or 2 after a mistake of the user's, which is printed as one line unless `debug`."""
    try:
        work()
    except InputError as error:
        if debug:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that cannot be written, a full disk
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or _one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _one_line(error: Exception) -> str:
    """Of an error in a data loading process, which holds that process's traceback, only the last line's message."""
    text = str(error).strip()
    if text.startswith("Caught "):
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.splitlines())
