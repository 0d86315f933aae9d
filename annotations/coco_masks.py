"""COCO masks: conversion of polygons and two kinds of run-length encoding to one encoding, and to pixels.

An encoding holds run lengths in column-major order, alternately outside and inside the mask: a list or a string.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_codec

from errors import InputError

MAX_PERIMETER = 2_000_000  # pixels; the codec keeps ten numbers for each

_MAX_CHARACTERS = 8  # per number of a string: 2^40 pixels


def to_rle(segmentation: list[list[float]] | dict[str, Any], size: tuple[int, int], where: str) -> dict[str, Any]:
    """Returns the encoding of a mask in string form, rasterised as by COCO's own tools.

    Args:
        segmentation: polygons of 6 or more bounded numbers each, whose union is the mask, or an encoding
            `{"size": [H, W], "counts": ...}`.
        size: (H, W) of the image.
        where: file and position, for messages.

    Raises:
        InputError: an encoding whose runs do not sum to H·W pixels (comparing it would hang the codec), or
            outlines longer than MAX_PERIMETER.
    """
    if isinstance(segmentation, list):
        if sum(map(_perimeter, segmentation)) > MAX_PERIMETER:
            raise InputError(f"{where}: outlines of more than {MAX_PERIMETER:,} pixels; correct or remove the entry")
        return mask_codec.merge(mask_codec.frPyObjects(segmentation, *size))
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _runs(counts)
    pixels = sum(runs) if all(type(run) is int and run >= 0 for run in runs) else -1
    if pixels != size[0] * size[1]:
        counted = f"{pixels} pixels" if 0 <= pixels < 10**12 else "something else than pixels"
        raise InputError(
            f"{where}: segmentation.counts counts {counted} where the image has {size[0]}x{size[1]}; "
            "correct or remove the entry"
        )
    return mask_codec.frPyObjects({"size": list(size), "counts": runs}, *size)


def rasterise(segmentation: list[list[float]] | dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    """(H, W) uint8, 1 inside the mask; arguments and errors as those of `to_rle`."""
    return mask_codec.decode(to_rle(segmentation, size, where))


def _perimeter(ring: list[float]) -> float:
    corners = np.reshape(ring, (-1, 2))
    return float(np.abs(corners - np.roll(corners, -1, axis=0)).max(axis=1).sum())


def _runs(text: str) -> list[int]:
    """The counts of the string form; negative ones where it is damaged.

    A character holds 5 bits of a number, lowest first, and a continuation bit. From the fourth number on, the
    difference to the count two places before is stored.
    """
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(codes & 32 == 0)  # last character of each number
    known = text.isascii() and codes.min(initial=0) >= 0 and codes.max(initial=0) < 64
    if not known or not len(last) or last[-1] + 1 != len(codes):
        return [-1]
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MAX_CHARACTERS:
        return [-1]
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, first) - ((codes[last] & 16) << (5 * (lengths - 1) + 1))
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs.tolist()
