"""Transforms of an image and its objects to detector input, and collation of samples to a batch.

Sizes and flip are those of the Faster R-CNN recipes that the detectors are compared with: short side 800, long
side at most 1333, aspect ratio kept, flip 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch.nn.functional import pad

from dataset.images import normalise
from dataset.objects.records import ObjectBatch, ObjectRecord, ObjectSample
from errors import InputError

_STRIDE = 32


class ObjectTrainTransform:
    """Resizing to a random short side, and random horizontal flip.

    Args:
        short_sides: lengths of the shorter side after scaling, pixels; one is drawn for every sample.
        long_side: limit of the longer side, px; it prevails over `short_sides`.
        flip: probability of a flip from left to right.

    Raises:
        InputError: a value out of range.
    """

    training = True

    def __init__(self, short_sides: Sequence[int] = (800,), long_side: int = 1333, flip: float = 0.5) -> None:
        if not isinstance(short_sides, (list, tuple)) or not short_sides:
            raise InputError(f"data.train.short_sides is {short_sides!r}; give a list of sides in pixels, as [800]")
        self.short_sides = tuple(_checked_side("train.short_sides", side) for side in short_sides)
        self.long_side = _checked_side("train.long_side", long_side)
        if type(flip) not in (int, float) or not 0 <= flip <= 1:
            raise InputError(f"data.train.flip is {flip!r}; give a probability, 0 to 1")
        self.flip = flip

    def smallest_factor(self, sizes: np.ndarray) -> np.ndarray:
        """Smallest scale factors (n,) of images of `sizes` (n, 2)."""
        return _factors(sizes, min(self.short_sides), self.long_side)

    def __call__(self, image: np.ndarray, record: ObjectRecord, rng: np.random.Generator) -> ObjectSample:
        """Augments an image (H, W, 3) uint8; all randomness comes from `rng`."""
        short_side = self.short_sides[rng.integers(len(self.short_sides))]
        size = resized_size(image.shape[:2], short_side, self.long_side)
        return _sample(image, record, size, flip=rng.random() < self.flip)


class ObjectTestTransform:
    """Deterministic resizing for the test, and for other uses of objects in the frame of the tested image.

    Args:
        short_side, long_side: as in training.
    """

    __test__ = False  # keeps pytest from collecting the class
    training = False

    def __init__(self, short_side: int = 800, long_side: int = 1333) -> None:
        self.short_side = _checked_side("test.short_side", short_side)
        self.long_side = _checked_side("test.long_side", long_side)

    def smallest_factor(self, sizes: np.ndarray) -> np.ndarray:
        """As in training."""
        return _factors(sizes, self.short_side, self.long_side)

    def __call__(self, image: np.ndarray, record: ObjectRecord, rng: np.random.Generator) -> ObjectSample:
        """Resizes an image (H, W, 3) uint8; `rng` is not used."""
        return _sample(image, record, resized_size(image.shape[:2], self.short_side, self.long_side), flip=False)


def resized_size(size: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """Scales (H, W) so that the shorter side is `short_side`, or the longer one `long_side` if that is smaller."""
    factor = min(short_side / min(size), long_side / max(size))
    return tuple(max(int(side * factor + 0.5), 1) for side in size)


def _factors(sizes: np.ndarray, short_side: int, long_side: int) -> np.ndarray:
    return np.minimum(short_side / sizes.min(axis=1, initial=1 << 30), long_side / sizes.max(axis=1, initial=1))


def collate_objects(samples: Sequence[ObjectSample]) -> ObjectBatch:
    """Pads samples to the largest of them, rounded up to a multiple of 32."""
    sizes = [sample.image.shape[1:] for sample in samples]
    height, width = (-(-max(sides) // _STRIDE) * _STRIDE for sides in zip(*sizes))
    images = torch.zeros(len(samples), 3, height, width)
    targets = []
    for image, sample, (h, w) in zip(images, samples, sizes):
        image[:, :h, :w] = torch.from_numpy(sample.image)
        target = {"boxes": torch.from_numpy(sample.record.boxes), "labels": torch.from_numpy(sample.record.labels)}
        if sample.record.masks is not None:
            target["masks"] = pad(torch.from_numpy(sample.record.masks), (0, width - w, 0, height - h))
        targets.append(target)
    return ObjectBatch(
        images,
        sizes,
        targets,
        image_ids=[sample.record.image_id for sample in samples],
        original_sizes=[sample.original_size for sample in samples],
        names=[sample.record.name for sample in samples],
    )


def _sample(image: np.ndarray, record: ObjectRecord, size: tuple[int, int], flip: bool) -> ObjectSample:
    (h0, w0), (h, w) = image.shape[:2], size
    resized = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    boxes = record.boxes * np.array([w / w0, h / h0, w / w0, h / h0], np.float32)
    masks = record.masks if record.masks is None else _resized_masks(record.masks, size)
    if flip:
        resized = cv2.flip(resized, 1)
        boxes = np.array([w, 0, w, 0], np.float32) + boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
        masks = masks if masks is None else np.ascontiguousarray(masks[:, :, ::-1])
    record = replace(record, boxes=boxes, masks=masks)
    return ObjectSample(normalise(resized), record, (h0, w0))


def _resized_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n, H, W) -> (n, h, w): a pixel belongs to the object if the interpolated mask is at least one half.

    Interpolation aligns with the image, as OpenCV's nearest neighbour does not.
    """
    resized = np.empty((len(masks), *size), np.uint8)
    for mask, out in zip(masks, resized):
        cv2.compare(cv2.resize(255 * mask, size[::-1], interpolation=cv2.INTER_LINEAR), 127, cv2.CMP_GT, out)
    return np.minimum(resized, 1)


def _checked_side(field: str, side: int) -> int:
    if type(side) is not int or side < 1:
        raise InputError(f"data.{field} is {side!r}; give a number of pixels above 0")
    return side
