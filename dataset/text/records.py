"""Data types of text detection, from the file on disk to the learner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from files import composed


@dataclass(frozen=True)
class TextRecord:
    """One image and its annotation, in pixels of the image as its parser has it read (see `TextParser.upright`).

    Attributes:
        image_path: the image file.
        polygons: n arrays (k_i, 2) float32, x then y, k_i >= 3 vertices each.
        ignore: (n,) bool, True for instances that neither count as text nor as background.
        transcriptions: n strings, empty where the format has none.
    """

    image_path: Path
    polygons: list[np.ndarray] = field(default_factory=list)
    ignore: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    transcriptions: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """File name without folder and extension, accents composed: the key under which results are written."""
        return composed(self.image_path.stem)


@dataclass
class TextBatch:
    """One training batch. Maps are at the resolution of the images.

    Attributes:
        images: (B, 3, H, W) float32, RGB, normalised by the ImageNet mean and deviation.
        text: (B, H, W) uint8, 1 inside any text polygon, ignored ones included.
        kernels: (B, K, H, W) uint8, the shrunk polygons; K is 1 for PAN and KKD, 6 for PSENet.
        training_mask: (B, H, W) uint8, 0 inside ignored regions.
        instances: (B, H, W) uint8, 1..n the instance of each text pixel (n <= 200), 0 background and text
            that is only in ignored regions.
        names: B image names, for messages.
        labelled: number of the images that have labels, which come first; None for all. The maps of the others are
            of the text that was found in them, if any, and teach nothing.
    """

    images: Tensor
    text: Tensor
    kernels: Tensor
    training_mask: Tensor
    instances: Tensor
    names: list[str]
    labelled: int | None = None

    def to(self, device: torch.device | str, non_blocking: bool = True) -> TextBatch:
        """The batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TextBatch:
        """The batch in page-locked memory; a DataLoader with `pin_memory=True` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> TextBatch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return TextBatch(**{k: function(v) if isinstance(v, Tensor) else v for k, v in values.items()})
