"""Variables of MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import scipy.io

from errors import InputError


def load_variables(source: BinaryIO | Path, names: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Those of the named variables that a file holds; the others of its variables are not read.

    Args:
        source: the file, open or by name.
        names: of the variables.
        where: its name, for messages.

    Raises:
        InputError: no MATLAB file, or a damaged one.
    """
    try:
        variables = scipy.io.loadmat(source, appendmat=False, variable_names=names)
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        reason = f"cannot be read as a MATLAB file up to version 7.2 ({type(error).__name__})"
        raise InputError(f"{where}: {reason}; restore it from the data set") from error
    return {name: variables[name] for name in names if name in variables}


def cell_text(cell: np.ndarray) -> str:
    """The characters of a cell without outer spaces; of several rows, one a line. Empty for an empty cell."""
    return "\n".join(map(str, np.asarray(cell).flat)).strip()
