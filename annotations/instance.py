"""One instance of text: a line or row of a ground-truth file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Instance(NamedTuple):
    """One text instance as annotated.

    Attributes:
        polygon: (k, 2) float64, x and y in pixels of the stored image, k >= 1; may enclose nothing.
        where: file and line (or row), for messages.
        transcription: without outer spaces; empty where the file has none.
        orientation: Total-Text only, as written without outer spaces: usually one of c, h, m, #.
        difficult: MSRA-TD500 only.
    """

    polygon: np.ndarray
    where: str
    transcription: str = ""
    orientation: str = ""
    difficult: bool = False
