"""Maps as a detector of curved and slanted text gives them: what the benchmarks of the post-processing share."""

from __future__ import annotations

import cv2
import numpy as np

CELL = (16, 32)  # rows and columns of the cell in which the kernels of an instance stay; its text may leave it


def cells(size: tuple[int, int]) -> int:
    """Number of instances that fit into maps of `size` (h, w)."""
    return (size[0] // CELL[0]) * (size[1] // CELL[1])


def text_maps(rng: np.random.Generator, size: tuple[int, int], instances: int, kernels: int = 1) -> np.ndarray:
    """(1 + kernels, h, w) uint8, 1 = set: text, then kernels from large to small, each inside the one before.

    Instances are bands, bent and slanted, in cells drawn at random. The texts of neighbours may touch; of the
    smallest kernel they are separate components.
    """
    masks = np.zeros((1 + kernels, *size), np.uint8)
    columns = size[1] // CELL[1]
    for cell in rng.permutation(cells(size))[:instances]:
        centre = np.array([cell % columns + 0.5, cell // columns + 0.5]) * CELL[::-1]
        length, thickness = rng.uniform((18, 6), (32, 13))
        slope, bend = rng.uniform(-2, 2, 2)
        for mask, scale in zip(masks, np.linspace(1, 0.4, 1 + kernels)):
            band = _band(length - thickness * (1 - scale), thickness * scale, slope, bend)
            cv2.fillPoly(mask, [np.rint(centre + band).astype(np.int32)], 1)
    return np.bitwise_and.accumulate(masks)


def _band(length: float, thickness: float, slope: float, bend: float) -> np.ndarray:
    """(18, 2) x and y of a band around the origin; `slope` and `bend` are rows from its middle to its ends."""
    along = np.linspace(-1, 1, 9)
    middle = np.stack([along * length / 2, slope * along + bend * along**2], axis=1)
    half = np.array([0, thickness / 2])
    return np.concatenate([middle - half, (middle + half)[::-1]])


def logits_of(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    """float32 of the masks' shape, positive where they are set, and so sure that every instance passes."""
    return np.where(masks, 1, -1) * rng.uniform(2, 8, masks.shape).astype(np.float32)


def embeddings(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(4, h, w) float32."""
    return rng.normal(size=(4, *size)).astype(np.float32)
