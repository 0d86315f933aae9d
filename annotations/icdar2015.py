"""ICDAR 2015 incidental scene text: one quadrilateral a word.

Published with "ICDAR 2015 Competition on Robust Reading", Karatzas et al., 2015, challenge 4.
"""

from __future__ import annotations

from annotations.fields import numbered_lines, parse_numbers
from annotations.instance import Instance

_NUMBERS = 8
_EXPECTED = "x1,y1,x2,y2,x3,y3,x4,y4,transcription"


def parse(text: str, where: str) -> list[Instance]:
    """The instances of one file, one `x1,y1,...,x4,y4,transcription` a line.

    The transcription may hold commas and quotes, and may be missing; `###` stands for text that is not to be
    read.

    Args:
        text: content of the file, with or without byte-order mark, any line ends.
        where: its name, for messages.

    Raises:
        InputError: a line has too few fields, or one that is no number of pixels.
    """
    instances = []
    for place, line in numbered_lines(text, where):
        fields = line.split(",", _NUMBERS)
        polygon = parse_numbers(fields, _NUMBERS, _EXPECTED, place).reshape(-1, 2)
        instances.append(Instance(polygon, place, "".join(fields[_NUMBERS:]).strip()))
    return instances
