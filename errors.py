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
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _one_line(error: InputError) -> str:
    """An error of a data loading process arrives with that process's traceback, whose last line is the message."""
    *traceback, message = str(error).strip().splitlines()
    return message.partition(": ")[2] if traceback else message
