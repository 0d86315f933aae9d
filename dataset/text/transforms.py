"""Geometry and colour of the augmentation, and the resizing for the test.

Coordinates are pixel indices: (0, 0) is the centre of the top left pixel, as OpenCV draws and warps, so an
image of width W spans x from −½ to W−½. Images and polygons go through the same matrix, hence scaling by s
maps x to (x+½)s − ½ for both.

All geometry of a training sample is one affine map: the image is interpolated once, straight into the crop,
and the polygons are mapped exactly; targets are drawn afterwards, so no label map is ever interpolated.

The distribution is that of the published PAN and PSENet training (PAN, ICCV 2019, section 4.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
ASPECTS = (0.9, 0.95, 1.0, 1.05, 1.1)
MAX_ASPECT = 16
MAX_ANGLE = 10.0  # degrees
TEXT_CROP_PROBABILITY = 5 / 8
BRIGHTNESS, SATURATION = 32 / 255, 0.5

_STRIDE = 32
_CROP_DRAWS = 10
_BAND = 160  # rows
_LUMA = np.array([0.299, 0.587, 0.114])


def scaled_size(
    size: tuple[int, int], short_size: int, scale: float = 1.0, aspect: float = 1.0, long_size: int | None = None
) -> tuple[int, int]:
    """Size of an image after scaling its short side to `short_size · scale`.

    The long side is scaled to at most MAX_ASPECT times that: an image of 4 x 3000 pixels, such as a ruled line, would
    need gigabytes. Such an image is scaled less, its short side up to the first multiple of 32.

    Args:
        size: (H, W) in pixels.
        aspect: factor of the aspect ratio; height grows and width shrinks by its square root.
        long_size: largest length of the long side, a multiple of 32; None for no other limit.

    Returns:
        (H', W'), each rounded up to a multiple of 32.
    """
    factor = short_size * scale * min(1 / min(size), MAX_ASPECT / max(size))
    if long_size is not None:
        factor = min(factor, long_size / max(size))
    sides = (size[0] * factor * math.sqrt(aspect), size[1] * factor / math.sqrt(aspect))
    return tuple(max(-(-int(side + 0.5) // _STRIDE), 1) * _STRIDE for side in sides)


@dataclass(frozen=True)
class Geometry:
    """Random geometry of one training sample, apart from the crop.

    Attributes:
        source: (H, W) of the image.
        canvas: (H', W') after scaling; flip and rotation keep it, pixels outside it are lost.
        flip: mirrored left to right.
        angle: rotation about the centre of the canvas, degrees, counter-clockwise as displayed.
    """

    source: tuple[int, int]
    canvas: tuple[int, int]
    flip: bool = False
    angle: float = 0.0

    def matrix(self) -> np.ndarray:
        """(2, 3) float64: image coordinates to canvas coordinates (x, y)."""
        (source_h, source_w), (h, w) = self.source, self.canvas
        sx, sy = w / source_w, h / source_h
        scale = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        flip = np.array([[-1, 0, w - 1], [0, 1, 0], [0, 0, 1]]) if self.flip else np.eye(3)
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        cx, cy = (w - 1) / 2, (h - 1) / 2
        rotation = [[cos, sin, cx - cos * cx - sin * cy], [-sin, cos, cy + sin * cx - cos * cy], [0, 0, 1]]
        return (np.array(rotation) @ flip @ scale)[:2]


def draw_geometry(
    rng: np.random.Generator, size: tuple[int, int], short_size: int, aspect_jitter: bool = False
) -> Geometry:
    """Draws scale, aspect, flip and rotation for an image of `size` (H, W)."""
    scale = rng.choice(SCALES)
    aspect = rng.choice(ASPECTS) if aspect_jitter else 1.0
    flip = rng.random() < 0.5
    return Geometry(size, scaled_size(size, short_size, scale, aspect), flip, rng.uniform(-MAX_ANGLE, MAX_ANGLE))


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Maps points (k, 2) by an affine matrix (2, 3); returns (k, 2) float64."""
    return points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]


def translate(matrix: np.ndarray, top: int, left: int) -> np.ndarray:
    """The affine matrix (2, 3) followed by moving the origin to row `top`, column `left`."""
    return matrix - np.array([[0, 0, left], [0, 0, top]])


def draw_crop(
    rng: np.random.Generator, text: np.ndarray, crop_size: int, text_crops: float = TEXT_CROP_PROBABILITY
) -> tuple[int, int]:
    """Draws the top left corner of a crop.

    With probability `text_crops` the first row is uniform between (first text row − crop) and (last text row − crop),
    both limited to 0 and to (height − crop), and columns likewise; otherwise it is uniform over all places.
    That is the published rule, whose window can miss the text. Here a window without any is drawn again, up
    to ten times; then it is placed, uniformly, over a random text pixel. So that share of the crops does contain text.

    Args:
        text: (H, W) uint8, the text on the canvas.
        crop_size: side of the square. Along a side not longer than that the crop begins at 0.
        text_crops: published: 5/8.

    Returns:
        (top, left).
    """
    sides = np.array(text.shape)
    crop = np.minimum(sides, crop_size)
    last = sides - crop
    if not last.any():
        return 0, 0
    if rng.random() >= text_crops or not cv2.hasNonZero(text):
        return tuple(rng.integers(0, last, endpoint=True).tolist())
    x, y, w, h = cv2.boundingRect(text)
    low = np.maximum([y - crop[0], x - crop[1]], 0)
    high = np.clip([y + h - 1 - crop[0], x + w - 1 - crop[1]], 0, last)
    for _ in range(_CROP_DRAWS):
        top, left = rng.integers(low, high, endpoint=True).tolist()
        if cv2.hasNonZero(text[top : top + crop[0], left : left + crop[1]]):
            return top, left
    pixels = np.flatnonzero(text)
    pixel = np.array(divmod(int(pixels[rng.integers(len(pixels))]), text.shape[1]))
    return tuple(rng.integers(np.maximum(pixel - crop + 1, 0), np.minimum(pixel, last), endpoint=True).tolist())


def warp(image: np.ndarray, matrix: np.ndarray, crop_size: int, valid: tuple[int, int]) -> np.ndarray:
    """Warps an image into the crop, bilinearly.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), image to crop coordinates.
        valid: (h, w), the part of the crop that the canvas covers; the rest, right and below, is zero.

    Returns:
        (crop_size, crop_size, 3) uint8.
    """
    crop = np.zeros((crop_size, crop_size, 3), np.uint8)
    for top in range(0, valid[0], _BAND):  # the part of the image that a band shows fits the cache
        band = crop[top : min(top + _BAND, valid[0]), : valid[1]]
        part, from_part = _seen(image, translate(matrix, top, 0), band.shape[:2])
        part = cv2.cvtColor(part, cv2.COLOR_RGB2RGBA)  # OpenCV warps four channels in half the time of three
        warped = cv2.warpAffine(part, from_part, band.shape[1::-1], flags=cv2.INTER_LINEAR)
        cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, band)
    return crop


def _seen(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image that a crop of `size` (h, w) shows, and the matrix (2, 3) from its pixels to the crop's."""
    h, w = size
    corners = map_points(np.array([[0, 0], [w, 0], [w, h], [0, h]]) - 0.5, cv2.invertAffineTransform(matrix))
    x, y, width, height = cv2.boundingRect(corners.astype(np.float32))
    left, top = min(max(x, 0), image.shape[1] - 1), min(max(y, 0), image.shape[0] - 1)
    part = image[top : max(y + height, top) + 1, left : max(x + width, left) + 1]
    offset = matrix[:, :2] @ np.array([[0, 0, left], [0, 0, top]])
    return part, matrix + offset


def draw_colour(rng: np.random.Generator) -> tuple[float, float]:
    """Draws the factors of brightness and saturation."""
    return rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS), rng.uniform(1 - SATURATION, 1 + SATURATION)


def jitter_colour(image: np.ndarray, brightness: float, saturation: float) -> np.ndarray:
    """Multiplies all values by `brightness`, then their distance from the pixel's grey value by `saturation`.

    Args:
        image: (H, W, 3) uint8, RGB. Both results are limited to 0..255 and rounded.
    """
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA  # every row: the grey value of a pixel
    return cv2.transform(cv2.convertScaleAbs(image, alpha=brightness), mix)


def resize_for_test(image: np.ndarray, short_size: int) -> np.ndarray:
    """Scales the short side of (H, W, 3) to `short_size`, sides rounded up to multiples of 32, no padding."""
    h, w = scaled_size(image.shape[:2], short_size)
    return cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
