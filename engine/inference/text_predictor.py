"""Text detection in pictures, whole or tile by tile. Needs no torch for exported networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import cv2
import numpy as np

from dataset.images import normalise
from dataset.text.transforms import scaled_size
from engine.inference.predictor import LARGEST_TILED, Job, Predictor, check_finite
from errors import InputError
from post_processing import maps_to_polygons, require_extension
from post_processing.polygons import BBOX_TYPES

LONG_SIDE = 4096
OVERLAP = 128


class TextPredictor(Predictor):
    """Detects text in pictures; see Predictor.

    Args:
        network: normalised images (B, 3, H, W) float32 to output maps (B, K, H/4, W/4) float32; its `metadata` are
            those that export.py writes.
        short_side: pixels to which the short side of a picture is scaled; None: as in the test of the training's
            config, or with `tile`, the size that the picture has.
        long_side: largest length of the long side, LONG_SIDE by default; a longer picture is scaled less, so that none
            exhausts the memory. Not with `tile`, which has no limit.
        tile: side of the squares that the network takes one after the other, a multiple of 32; None: whole pictures.
            The maps of the tiles are joined in the middle of their overlaps, and instances are formed in the whole.
        overlap: pixels that neighbouring tiles share at least, at most half of them; None: OVERLAP. Only with `tile`.
        min_score, min_area, bbox_type, min_text, min_kernel: as in the `test_cfg` of a config, whose values are the
            default.
        options: see Predictor.

    Raises:
        InputError: a value out of range, a network of another kind, or the compiled extension is missing.
    """

    task: ClassVar[str] = "text"

    def __init__(
        self,
        network: Callable[[np.ndarray], np.ndarray],
        short_side: int | None = None,
        long_side: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        min_score: float | None = None,
        min_area: float | None = None,
        bbox_type: str | None = None,
        min_text: float | None = None,
        min_kernel: float | None = None,
        **options: Any,
    ) -> None:
        require_extension()
        super().__init__(**options)
        about = network.metadata
        self.network = network
        self.stride, self.map_stride, self.maps = about["stride"], about["map_stride"], tuple(about["maps"])
        self.protocol = about.get("protocol", "icdar2015")
        self.mean, self.std = tuple(about["mean"]), tuple(about["std"])
        self.short_side = about["short_size"] if short_side is None and tile is None else short_side
        self.long_side = (LONG_SIDE if long_side is None else long_side) // self.stride * self.stride
        self.tile = tile
        self.overlap = min(OVERLAP, (tile or 0) // 2) if overlap is None else overlap
        self.min_score = about["min_score"] if min_score is None else min_score
        self.min_area = about["min_area"] if min_area is None else min_area
        self.bbox_type = about["bbox_type"] if bbox_type is None else bbox_type
        self.min_text = about.get("min_text", 0.5) if min_text is None else min_text  # older files have none
        self.min_kernel = about.get("min_kernel", 0.5) if min_kernel is None else min_kernel
        if tile is not None and long_side is not None:
            raise InputError(
                "--long-side: has no meaning with --tile, which takes pictures of any length; leave one out"
            )
        if tile is None and overlap is not None:
            raise InputError("--overlap: has no meaning without --tile; give both")
        self._check(short_side, long_side)
        if tile is not None:
            self.largest, self.workers = LARGEST_TILED, 0  # one large picture in memory at a time

    def _check(self, short_side: int | None, long_side: int | None) -> None:
        if short_side is not None and short_side < self.stride:
            raise InputError(f"--short-side {short_side}: expected {self.stride} or more")
        if long_side is not None and long_side < self.stride:
            raise InputError(f"--long-side {long_side}: expected {self.stride} or more")
        if self.tile is not None and (self.tile < self.stride or self.tile % self.stride):
            raise InputError(f"--tile {self.tile}: expected a multiple of {self.stride}")
        if self.tile is not None and not 0 <= self.overlap <= self.tile // 2:
            raise InputError(f"--overlap {self.overlap}: expected 0 to {self.tile // 2}, half of a tile")
        if not 0 <= self.min_score <= 1:
            raise InputError(f"--min-score {self.min_score:g}: expected a number from 0 to 1")
        for name, value in {"--min-text": self.min_text, "--min-kernel": self.min_kernel}.items():
            if not 0 < value < 1:
                raise InputError(f"{name} {value:g}: expected a number between 0 and 1")
        if not self.min_area >= 0:
            raise InputError(f"--min-area {self.min_area:g}: expected 0 or more")
        if self.bbox_type not in BBOX_TYPES:
            raise InputError(f"bbox_type {self.bbox_type!r}: expected one of {', '.join(BBOX_TYPES)}")

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the network input for a picture of (H, W) pixels, both multiples of the stride."""
        if self.tile is None:
            return scaled_size(size, self.short_side, long_size=self.long_side)
        factor = 1 if self.short_side is None else self.short_side / min(size)
        return tuple(max(-(-int(side * factor + 0.5) // self.stride), 1) * self.stride for side in size)

    def prepare(self, picture: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        height, width = self.network_size(picture.shape[:2])
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        return (resized if self.tile else normalise(resized, self.mean, self.std)), (height, width)

    def run(self, jobs: Sequence[Job]) -> Sequence[np.ndarray]:
        if self.tile:
            return [self._tiled(job.image) for job in jobs]
        return self.network(jobs[0].image[None] if len(jobs) == 1 else np.stack([job.image for job in jobs]))

    def finish(self, job: Job, output: np.ndarray) -> None:
        check_finite(job.key, "maps", output)
        job.maps = output
        original = job.picture.shape[:2]
        thresholds = self.min_area, self.min_score, self.bbox_type, self.min_text, self.min_kernel
        job.result = maps_to_polygons(output, self.maps, job.size, original, *thresholds)

    def _tiled(self, image: np.ndarray) -> np.ndarray:
        """Output maps (K, H/4, W/4) of a scaled picture (H, W, 3) uint8, computed tile by tile."""
        sides = [min(self.tile, side) for side in image.shape[:2]]
        rows, columns = (
            tile_places(side, tile, self.overlap, self.stride) for side, tile in zip(image.shape[:2], sides)
        )
        tiles = [(row, column) for row in rows for column in columns]
        stride = self.map_stride
        maps = np.empty((len(self.maps), image.shape[0] // stride, image.shape[1] // stride), np.float32)
        batch = np.empty((min(self.batch_size, len(tiles)), 3, *sides), np.float32)
        for first in range(0, len(tiles), len(batch)):
            some = tiles[first : first + len(batch)]
            for ((top, _, _), (left, _, _)), out in zip(some, batch):
                part = image[top : top + sides[0], left : left + sides[1]]
                normalise(np.ascontiguousarray(part), self.mean, self.std, out)
            for (row, column), found in zip(some, self.network(batch[: len(some)])):
                (top, y0, y1), (left, x0, x1) = ([value // stride for value in place] for place in (row, column))
                maps[:, y0:y1, x0:x1] = found[:, y0 - top : y1 - top, x0 - left : x1 - left]
        return maps


def tile_places(side: int, tile: int, overlap: int, stride: int) -> list[tuple[int, int, int]]:
    """Tiles along a side: where each starts, and the part [from, to) of the side that it answers for.

    Starts are multiples of `stride`, where the network's pixels lie as in the whole picture; the parts join in the
    middle of the overlaps and cover the side.

    Args:
        side, tile: lengths in pixels, multiples of `stride`, tile at most side.
        overlap: length that neighbours share at least.
    """
    step = max((tile - overlap) // stride, 1) * stride
    count = 1 + -(-(side - tile) // step)
    starts = [min(number * step, side - tile) for number in range(count)]
    joins = [(after + before + tile) // 2 // stride * stride for before, after in pairwise(starts)]
    return list(zip(starts, [0, *joins], [*joins, side]))
