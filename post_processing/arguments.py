"""Checks and conversions that the compiled extensions share."""

import numpy as np


def require_numbers(function: str, name: str, array: np.ndarray) -> None:
    """Raise TypeError, naming function and argument, unless the array holds real numbers."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {name} must hold numbers, got dtype {array.dtype}")


def checked_masks(function: str, masks: np.ndarray) -> np.ndarray:
    """Masks (n, h, w), non-zero = set, as C-contiguous, aligned uint8.

    Raises:
        ValueError: maps too large to be addressed with 32 bits.  TypeError: no numbers.
    """
    require_numbers(function, "kernels", masks)
    _, height, width = masks.shape
    if (height + 2) * (width + 1) >= 2**31 - 1:  # the label map with its border
        raise ValueError(f"{function}: a map of {height}x{width} pixels is too large")
    if masks.dtype != np.uint8:
        masks = masks.astype(bool, copy=False).view(np.uint8)
    return np.require(masks, requirements="CA")


def checked_min_area(function: str, min_area) -> float:
    """The smallest area of a seed as a float; ValueError when it is NaN."""
    min_area = float(min_area)
    if min_area != min_area:
        raise ValueError(f"{function}: min_area must be a number, got NaN")
    return min_area
