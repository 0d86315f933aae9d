"""Data types of object detection, from the file on disk to the learner.

Boxes are x1, y1, x2, y2 in pixels; (0, 0) is the top left corner of the image and (W, H) the bottom right one, so
that a box of one pixel is 1 wide, and scaling by s maps x to s·x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ObjectRecord:
    """One image and its objects, in pixels of the image as stored (EXIF orientation is not applied).

    Attributes:
        image_path: the image file.
        image_id: as in the annotation file.
        name: file name below the folder of the images, without extension.
        boxes: (n, 4) float32, inside the image, of positive size.
        labels: (n,) int64, 1..C.
        masks: (n, H, W) uint8, 1 inside the object; None if not requested.
    """

    image_path: Path
    image_id: int
    name: str
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class ObjectSample:
    """One resized image.

    Attributes:
        image: (3, h, w) float32, RGB, normalised by the ImageNet mean and deviation.
        record: the objects, in pixels of the resized image.
        original_size: (h0, w0) of the image file.
    """

    image: np.ndarray
    record: ObjectRecord
    original_size: tuple[int, int]


@dataclass
class ObjectBatch:
    """Images of different sizes, padded with zeros at the right and at the bottom to one size.

    Attributes:
        images: (B, 3, H, W) float32, RGB, normalised by the ImageNet mean and deviation; H and W are multiples
            of 32.
        sizes: B times (h, w) of the resized image inside the padded tensor.
        targets: B times `boxes` (n, 4) float32 in the resized frame, `labels` (n,) int64 1..C and, if the data
            set has masks, `masks` (n, H, W) uint8.
        image_ids: as in the annotation file, under which results are written.
        original_sizes: B times (h0, w0) of the image file, the pixel frame of written results.
        names: B image names, for messages.
    """

    images: Tensor
    sizes: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    image_ids: list[int]
    original_sizes: list[tuple[int, int]]
    names: list[str]

    def to(self, device: torch.device | str, non_blocking: bool = True) -> ObjectBatch:
        """The batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ObjectBatch:
        """The batch in page-locked memory; a DataLoader with `pin_memory=True` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> ObjectBatch:
        targets = [{key: function(value) for key, value in target.items()} for target in self.targets]
        return replace(self, images=function(self.images), targets=targets)
