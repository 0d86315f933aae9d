"""MSRA-TD500 and HUST-TR400: one rotated box per text line.

Published with "Detecting Texts of Arbitrary Orientations in Natural Images", Yao et al., 2012, and "A Unified
Framework for Multi-Oriented Text Detection and Recognition", Yao et al., 2014.
"""

from __future__ import annotations

import numpy as np

from annotations.fields import numbered_lines, parse_numbers
from annotations.instance import Instance

_NUMBERS = 7
_EXPECTED = "index difficult x y w h theta"


def parse(text: str, where: str) -> list[Instance]:
    """Parses the instances of one file, one `index difficult x y w h theta` per line.

    (x, y) is the upper left corner and (w, h) the size, in pixels, of a box that is then turned about its centre
    by theta in radians, from the x axis towards the y axis (clockwise as displayed). HUST-TR400 appends
    a transcription, which may hold spaces.

    Args:
        text: content of the file; an empty one is an image without text.
        where: its name, for messages.

    Raises:
        InputError: a line has too few fields, or one that is no number.
    """
    instances = []
    for place, line in numbered_lines(text, where):
        fields = line.split(None, _NUMBERS)
        _, difficult, *box = parse_numbers(fields, _NUMBERS, _EXPECTED, place)
        transcription = "".join(fields[_NUMBERS:]).strip()
        instances.append(Instance(_corners(*box), place, transcription, difficult=bool(difficult)))
    return instances


def _corners(x: float, y: float, w: float, h: float, theta: float) -> np.ndarray:
    """(4, 2): the corners that were upper left, upper right, lower right and lower left before turning."""
    from_centre = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
    cos, sin = np.cos(theta), np.sin(theta)
    return from_centre @ np.array([(cos, sin), (-sin, cos)]) + (x + w / 2, y + h / 2)
