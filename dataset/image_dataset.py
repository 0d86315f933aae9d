"""Base class of all image data sets: one seed per sample, and handling of unreadable images."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset, get_worker_info

from dataset.images import UnreadableImage, image_size
from dataset.issues import SampleIssues
from errors import InputError

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable images replaced by the next one"
MAX_UNREADABLE = 0.01  # share of the images of a training split

_HEADERS = 50  # images whose headers are read for their sizes


class ImageDataset(Dataset):
    """Images with annotations: `dataset[(epoch, index)]`, or `dataset[index]` for epoch 0.

    A sample depends on (seed, epoch, index) and nothing else: neither on the number of workers, nor on what
    was drawn before.

    In training an image that cannot be read is replaced by the next one that can, with a warning; when more
    than 1 % of the images are unreadable (any at all of fewer than 100), the run is stopped. Workers share
    the count. In testing the first unreadable image stops the run.

    Args:
        transform: function from an image (H, W, 3), its record and a random generator to a sample; its
            attribute `training` is True for training.
        seed: seed of the augmentation, >= 0.
        issues: counter of defects, with at least the kind UNREADABLE.
        found: kind -> count of annotations that were left out or changed on reading.

    Raises:
        InputError: an unreadable image (UnreadableImage), or too many of them, as described.
    """

    def __init__(
        self, transform: Callable[..., Any], seed: int, issues: SampleIssues, found: Mapping[str, int]
    ) -> None:
        self.transform, self.seed, self.issues, self.found = transform, seed, issues, found

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def image_path(self, index: int) -> Path:
        """The file of an image."""

    @abstractmethod
    def read(self, index: int) -> tuple[np.ndarray, Any]:
        """An image (H, W, 3) uint8 RGB and its record.

        Raises:
            UnreadableImage: the image cannot be read.
        """

    def overview(self) -> str:
        """Summarises the contents in one line: images, sizes, instances, ignored ones, omissions with reasons.

        Sizes come from the headers of an evenly spread subset, so that a large set is not opened in full.
        """
        instances, ignored = self.instance_counts()
        sizes = list(self.some_sizes().values())
        (low_h, low_w), (high_h, high_w) = (list(map(side, zip(*sizes))) or [0, 0] for side in (min, max))
        pixels = f"{low_w}x{low_h}" if low_w == high_w and low_h == high_h else f"{low_w}x{low_h} to {high_w}x{high_h}"
        line = f"{len(self)} images of {pixels} pixels, {instances} instances, {ignored} of them ignored"
        return "; ".join([f"{self.issues.source}: {line}", *(f"{n} {kind}" for kind, n in self.found.items())])

    def some_sizes(self) -> dict[int, tuple[int, int]]:
        """(H, W), by index, of an evenly spread subset of the images, from their headers."""
        spread = np.unique(np.linspace(0, len(self) - 1, min(len(self), _HEADERS)).astype(int)).tolist()
        return {i: size for i in spread if (size := image_size(self.image_path(i)))}

    @abstractmethod
    def instance_counts(self) -> tuple[int, int]:
        """Number of instances, and number of ignored ones among them."""

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(index)
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers are the parallelism; OpenCV's threads would only compete
        image, record = self._read_or_next(index) if self.transform.training else self.read(index)
        return self.transform(image, record, np.random.default_rng([self.seed, epoch, index]))

    def _read_or_next(self, index: int) -> tuple[np.ndarray, Any]:
        while True:  # terminates: each iteration counts another image, and too many raise
            try:
                return self.read(index)
            except UnreadableImage as error:
                logger.warning("skipped: %s", error)
                self.issues.mark(UNREADABLE, index, 1, str(self.image_path(index)))
                bad = self.issues.samples(UNREADABLE)
                if bad > MAX_UNREADABLE * len(self):
                    source = self.issues.source
                    raise InputError(
                        f"{source}: {bad} of {len(self)} images cannot be read, more than "
                        f"{MAX_UNREADABLE:.0%}; mend or remove them, the last one: {error}"
                    ) from error
                index = (index + 1) % len(self)
