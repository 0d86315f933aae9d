"""MATLAB files as annotation tools write them, for the tests of their readers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.io


def cells(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """A cell array (rows, columns) of numbers, arrays or strings."""
    array = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            array[i, j] = value
    return array


def mat_bytes(compressed: bool = False, **variables: np.ndarray) -> bytes:
    """The content of a `.mat` file."""
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def total_text_rows(*polygons: tuple[Sequence[int], Sequence[int], str, Any], column: bool = False) -> np.ndarray:
    """The cells of Total-Text: a row for each (x, y, transcription, orientation), int16 row or column vectors."""
    shape = (-1, 1) if column else (1, -1)
    x_y = [[np.array(axis, np.int16).reshape(shape) for axis in polygon[:2]] for polygon in polygons]
    return cells([["x:", x, "y:", y, text, ornt] for (x, y), (_, _, text, ornt) in zip(x_y, polygons)])
