"""Transforms of a record and its image to network input, and collation of samples to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dataset.images import normalise
from dataset.text.records import TextBatch, TextRecord
from dataset.text.targets import Targets, make_targets, shrink_ratios, text_map
from dataset.text.transforms import (
    TEXT_CROP_PROBABILITY,
    draw_colour,
    draw_crop,
    draw_geometry,
    jitter_colour,
    map_points,
    resize_for_test,
    translate,
    warp,
)
from errors import InputError


@dataclass(frozen=True)
class TrainSample:
    """One augmented image (3, S, S) float32 and its maps, S the training size; labelled: False if they mean nothing."""

    image: np.ndarray
    targets: Targets
    name: str
    labelled: bool = True


@dataclass(frozen=True)
class TestSample:
    """One image as it is tested.

    Attributes:
        image: (3, H, W) float32, normalised; H and W are multiples of 32.
        original_size: (H0, W0) of the image file, the pixel frame of written predictions.
        name: key under which results are written.
        record: the annotation, in original pixels.
    """

    __test__: ClassVar[bool] = False  # keeps pytest from collecting the class

    image: Tensor
    original_size: tuple[int, int]
    name: str
    record: TextRecord


class TrainTransform:
    """Augmentation and targets.

    Args:
        img_size: side of the square crop, a multiple of 32.
        short_size: length of the shorter side after scaling, before the random factor, px.
        kernel_scale: shrink ratio of the single kernel of PAN and KKD; excludes the next two.
        kernel_num, min_scale: number of maps (kernels and text) and smallest ratio of PSENet.
        aspect_jitter: vary the aspect ratio, too.
        text_crops: share of the crops that are placed where there is text.

    Raises:
        InputError: a value out of range, or kernels given in neither or both ways.
    """

    training = True

    def __init__(
        self,
        img_size: int = 640,
        short_size: int = 640,
        kernel_scale: float | None = None,
        kernel_num: int | None = None,
        min_scale: float | None = None,
        aspect_jitter: bool = False,
        text_crops: float = TEXT_CROP_PROBABILITY,
    ) -> None:
        if img_size < 32 or img_size % 32:
            raise InputError(f"data.train.img_size is {img_size}; give a positive multiple of 32")
        self.img_size = img_size
        self.short_size = _checked_short_size("train", short_size)
        self.ratios = _ratios(kernel_scale, kernel_num, min_scale)
        self.aspect_jitter = aspect_jitter
        if not 0 <= text_crops <= 1:
            raise InputError(f"data.train.text_crops is {text_crops}; give a share from 0 to 1")
        self.text_crops = text_crops

    def __call__(self, image: np.ndarray, record: TextRecord, rng: np.random.Generator) -> TrainSample:
        """Augments an image (H, W, 3) uint8; all randomness comes from `rng`."""
        size = self.img_size
        geometry = draw_geometry(rng, image.shape[:2], self.short_size, self.aspect_jitter)
        matrix = geometry.matrix()
        polygons = [map_points(p, matrix) for p in record.polygons]
        wanted = [p for p, ignored in zip(polygons, record.ignore) if not ignored]
        top, left = draw_crop(rng, text_map(wanted, geometry.canvas), size, self.text_crops)
        matrix = translate(matrix, top, left)
        polygons = [p - np.array([left, top]) for p in polygons]
        valid = min(size, geometry.canvas[0]), min(size, geometry.canvas[1])
        targets = make_targets(polygons, record.ignore, (size, size), self.ratios, valid)
        crop = jitter_colour(warp(image, matrix, size, valid), *draw_colour(rng))
        return TrainSample(normalise(crop), targets, record.name)


class TestTransform:
    """Resizing for the test: no randomness, no padding.

    Args:
        short_size: length of the shorter side of the image after scaling, px.
    """

    __test__ = False
    training = False

    def __init__(self, short_size: int = 640) -> None:
        self.short_size = _checked_short_size("test", short_size)

    def __call__(self, image: np.ndarray, record: TextRecord, rng: np.random.Generator) -> TestSample:
        """Resizes an image (H, W, 3) uint8; `rng` is not used."""
        tensor = torch.from_numpy(normalise(resize_for_test(image, self.short_size)))
        return TestSample(tensor, image.shape[:2], record.name, record)


def collate(samples: Sequence[TrainSample]) -> TextBatch:
    """Stacks training samples of one size, those with labels first, into a batch."""

    def stack(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays))

    return TextBatch(
        images=stack([s.image for s in samples]),
        text=stack([s.targets.text for s in samples]),
        kernels=stack([s.targets.kernels for s in samples]),
        training_mask=stack([s.targets.training_mask for s in samples]),
        instances=stack([s.targets.instances for s in samples]),
        names=[s.name for s in samples],
        labelled=sum(s.labelled for s in samples),
    )


def _checked_short_size(part: str, short_size: int) -> int:
    if short_size < 1:
        raise InputError(f"data.{part}.short_size is {short_size}; give a number of pixels above 0")
    return short_size


def _ratios(kernel_scale: float | None, kernel_num: int | None, min_scale: float | None) -> tuple[float, ...]:
    if (kernel_scale is None) == (kernel_num is None and min_scale is None):
        raise InputError("data.train: give kernel_scale (PAN, KKD), or kernel_num and min_scale (PSENet)")
    if kernel_scale is not None:
        ratios = (kernel_scale,)
    elif kernel_num is None or min_scale is None or kernel_num < 2:
        raise InputError("data.train: kernel_num (2 or more) and min_scale go together; give both")
    else:
        ratios = shrink_ratios(kernel_num, min_scale)
    if not all(0 < ratio <= 1 for ratio in ratios):
        raise InputError("data.train: kernel_scale and min_scale are shrink ratios; give a value above 0, at most 1")
    return ratios
