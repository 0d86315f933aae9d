"""The one exception that means: what the user gave is wrong, and here is how to mend it."""


class InputError(Exception):
    """A mistake in a file, a config or an option.

    The message is one line that names the file (and line), the field and the remedy. The scripts print it
    without a traceback and exit with code 2; every other exception is a defect of this project.
    """
