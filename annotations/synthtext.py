"""SynthText: words rendered into photographs, one quadrilateral per word, all in one MATLAB file.

Published with "Synthetic Data for Text Localisation in Natural Images", Gupta et al., 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annotations.fields import MAX_COORDINATE
from annotations.matlab import cell_text, load_variables
from errors import InputError
from files import read_bytes

_VARIABLES = ("imnames", "wordBB", "txt")
_UNPACKED, _RATIO = 64 << 20, 20  # bytes that a variable may unpack to, and further bytes per byte of the file


class SynthTextImage(NamedTuple):
    """The annotation of one image.

    Attributes:
        name: path of the image below the folder of `gt.mat`.
        boxes: (n, 4, 2) float64, the corners of each word, x and y in pixels.
        words: the transcriptions; usually n of them.
        where: file and entry, for messages.
    """

    name: str
    boxes: np.ndarray
    words: list[str]
    where: str


def read_mat(path: Path) -> Iterator[SynthTextImage]:
    """Yields the images of a `gt.mat`, in its order; the boxes of characters are not read.

    Raises:
        InputError: not such a file, or an entry whose boxes are not 2 x 4 x n numbers of pixels.
    """
    data = read_bytes(path, limit=None)
    variables = load_variables(data, _VARIABLES, str(path), _UNPACKED + _RATIO * len(data))
    missing = [name for name in _VARIABLES if name not in variables]
    if missing:
        raise InputError(f"{path}: has no variable {missing[0]}; restore the file from the data set")
    names, boxes, texts = (variables[name].ravel() for name in _VARIABLES)
    if not len(names) == len(boxes) == len(texts):
        counts = ", ".join(f"{len(variables[name].ravel())} {name}" for name in _VARIABLES)
        raise InputError(f"{path}: holds {counts}, which must be as many; restore the file from the data set")
    for number, (name, box, text) in enumerate(zip(names, boxes, texts), 1):
        where = f"{path}, entry {number}"
        yield SynthTextImage(cell_text(name).replace("\\", "/"), _corners(box, where), cell_text(text).split(), where)


def _corners(box: np.ndarray, where: str) -> np.ndarray:
    """(n, 4, 2) out of 2 x 4 x n; the entry of a single word may be 2 x 4."""
    box = np.asarray(box)
    if box.size == 0:
        return np.zeros((0, 4, 2))
    if box.dtype.kind not in "iuf" or box.shape[:2] != (2, 4) or box.ndim > 3:
        found = " x ".join(map(str, box.shape))
        raise InputError(f"{where}, wordBB: is {found}, where 2 x 4 x n numbers are expected; correct the entry")
    corners = box.reshape(2, 4, -1).transpose(2, 1, 0).astype(np.float64)
    if not (np.abs(corners) <= MAX_COORDINATE).all():
        raise InputError(f"{where}, wordBB: holds a value that is not a number of pixels; correct the entry")
    return corners
