"""Masks of the COCO format: polygons and two kinds of run-length encoding, brought to one, and to pixels.

An encoding counts pixels down the columns, in turn outside and inside the mask, in a list or in a string.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_codec

from errors import InputError


def to_rle(segmentation: list[list[float]] | dict[str, Any], size: tuple[int, int], where: str) -> dict[str, Any]:
    """The string form of a mask's encoding, as COCO's own tools rasterise it.

    Args:
        segmentation: polygons of 6 or more bounded numbers each, of which the union is taken, or an encoding
            `{"size": [H, W], "counts": ...}`.
        size: (H, W) of the image.
        where: file and position, for messages.

    Raises:
        InputError: an encoding that does not count H·W pixels: the codec would never come back from comparing it.
    """
    if isinstance(segmentation, list):
        return mask_codec.merge(mask_codec.frPyObjects(segmentation, *size))
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _runs(counts)
    pixels = sum(runs) if all(type(run) is int and run >= 0 for run in runs) else -1
    if pixels != size[0] * size[1]:
        counted = f"{pixels} pixels" if pixels >= 0 else "something else than pixels"
        raise InputError(
            f"{where}: segmentation.counts counts {counted} where the image has {size[0]}x{size[1]}; "
            "correct or remove the entry"
        )
    return mask_codec.frPyObjects({"size": list(size), "counts": runs}, *size)


def rasterise(segmentation: list[list[float]] | dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    """(H, W) uint8, 1 inside the mask; arguments and errors as those of `to_rle`."""
    return mask_codec.decode(to_rle(segmentation, size, where))


def _runs(text: str) -> list[int]:
    """The counts of the string form; negative ones where it is damaged.

    A character holds 5 bits of a number, lowest first, and one that says whether more follow. From the fourth
    on, what is written is the difference to the count before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return [*runs, -1] if shift else runs
