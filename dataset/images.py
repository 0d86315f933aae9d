"""Reading of image files in the pixel frame of their annotations."""

from __future__ import annotations

import io
import logging
import os
import re
import struct
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from errors import InputError
from files import open_regular, read_bytes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB, of values 0 to 1

# A marker is FF and a byte that is neither stuffing (00), a restart (D0 to D7) nor a fill byte (FF).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_END, _SCAN, _TEM = 0xD9, 0xDA, 0x01
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
_LIMIT = "KKDNET_MAX_PIXELS"
_DEPTHS = (8, 10, 12)  # bit depths that are stored in 16 bits
_BYTES = 8  # upper bound per pixel in a file: four channels of 16 bits
_SCAN_MARKER, _SCANS = b"\xff\xda", 50  # a progressive JPEG has 10 or 20
_HEADER = 1 << 18  # bytes searched for the size
_ROWS = 256
_ORIENTATION = 0x0112  # the EXIF tag
_PNG_EXTRAS = (b"eXIf", b"Raw profile type", b"acTL")  # EXIF in either form, animation
# Orientation -> what makes the stored picture upright: transposed, flipped top to bottom, left to right, in this order.
_UPRIGHT = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
_BACK = {6: 8, 8: 6}  # orientations that undo one; the others undo themselves
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

logger = logging.getLogger(__name__)


class UnreadableImage(InputError):
    """An image file that is missing, damaged or cut off."""


def max_pixels() -> int:
    """Maximum number of pixels of an image: the environment variable KKDNET_MAX_PIXELS, or 2^26.

    A file of some KB can decode to gigabytes, so its header is checked before decoding.

    Raises:
        InputError: the variable is not a positive integer.
    """
    text = os.environ.get(_LIMIT, "")
    if not text:
        return 1 << 26
    if not text.isdecimal() or not int(text):
        raise InputError(f"environment variable {_LIMIT}={text}: give a number of pixels, such as 100000000")
    return int(text)


def read_image(path: Path | str, upright: bool = False, most: int | None = None) -> np.ndarray:
    """Reads an image as stored: EXIF orientation is ignored, since annotations refer to the stored pixels.

    Transparent pixels are composited on white, as in viewers, since text may exist in the alpha channel alone; an
    alpha channel of zeros is disregarded. 16-bit values are reduced to their upper 8 bits; where all values fit
    into 8, 10 or 12 bits, as from cameras and scanners, to the upper 8 of these.

    Args:
        path: image file of any format that OpenCV decodes. Of several frames or pages the first is taken.
        upright: turn the image as its EXIF orientation says, as viewers show it.
        most: largest number of pixels; None for `max_pixels`.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UnreadableImage: the file cannot be opened or decoded, has more than `most` pixels, or is a JPEG or PNG that
            ends before its end marker (the decoder would silently fill the rest with grey).
    """
    most = max_pixels() if most is None else most
    try:
        data = read_bytes(path, limit=_BYTES * most)
    except InputError as error:
        raise UnreadableImage(str(error)) from error
    if _is_cut_off(data):
        raise UnreadableImage(f"{path}: the image data end early; copy the file again or remove it with its label")
    is_jpeg = data.startswith(_JPEG_START)
    try:
        size = _size(data)
    except ImportError as error:
        raise UnreadableImage(f"{path}: is neither JPEG nor PNG, which needs the package pillow") from error
    if size is not None and size[0] * size[1] > most:
        raise UnreadableImage(
            f"{path}: has {size[1]}x{size[0]} pixels, more than {most:,}; remove it with its label, or set the "
            f"environment variable {_LIMIT}"
        )
    scans = data.count(_SCAN_MARKER) if is_jpeg else 0
    if size is not None and size[0] * size[1] * (scans - _SCANS) > most:
        raise UnreadableImage(f"{path}: is a JPEG of too many scans, which take minutes to decode; store it anew")
    # From memory, since cv2.imread does not open every non-ASCII path on every platform.
    try:
        if size is None:
            image = None
        elif is_jpeg:  # no alpha, no 16 bits: the decoder converts to RGB, CMYK too
            flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        else:
            image = _to_rgb(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
            is_upright = data.startswith(_TIFF_STARTS)  # the decoder of TIFF files turns them, whatever it is told
            if image is not None and (upright or is_upright):
                orientation, frames = _orientation_and_frames(data)
                if upright != is_upright:
                    image = _turned(image, orientation if upright else _BACK.get(orientation, orientation))
                if upright and frames > 1:
                    logger.warning("%s: has %d frames or pages; the first is taken", path, frames)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableImage(f"{path}: not an image OpenCV can decode; replace the file or remove it with its label")
    return image


def image_size(path: Path | str) -> tuple[int, int] | None:
    """Returns (H, W) from the header, without decoding; None if it cannot be determined."""
    try:
        with open_regular(path) as file:
            return _size(file.read(_HEADER))
    except (InputError, OSError):
        return None


def _to_rgb(image: np.ndarray | None) -> np.ndarray | None:
    """(H, W), (H, W, 1), BGR or BGRA of 8 or 16 bits to RGB of 8; None for anything else."""
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.dtype == np.uint16:
        image = _to_8_bits(image)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    alpha = image[..., 3]
    rgb = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    if alpha.min() == 255 or not alpha.any():
        return rgb
    for start in range(0, len(rgb), _ROWS):  # in parts, as they take four times the memory
        part, opacity = rgb[start : start + _ROWS], alpha[start : start + _ROWS, :, None].astype(np.uint16)
        part[:] = (part * opacity + 255 * (255 - opacity) + 127) // 255
    return rgb


def _to_8_bits(image: np.ndarray) -> np.ndarray:
    """Colours by their range, which `read_image` describes; an alpha channel by all 16 bits."""
    bits = next((bits for bits in _DEPTHS if int(image[..., :3].max(initial=0)) < 1 << bits), 16)
    out = (image >> (bits - 8)).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 4:
        out[..., 3] = image[..., 3] >> 8
    return out


def _size(data: bytes) -> tuple[int, int] | None:
    """(H, W) in a header, or None. PNG and JPEG are parsed here, since Pillow is too strict with them.

    Raises:
        ImportError: another format, and Pillow is not installed.
    """
    if data.startswith(_PNG_START):
        return (*struct.unpack_from(">II", data, 16)[::-1],) if len(data) >= 24 else None
    if data.startswith(_JPEG_START):
        return _jpeg_size(data)
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                return picture.size[::-1]
    except Image.DecompressionBombError:
        return (1 << 14, 1 << 14)  # a lower bound: more than twice Pillow's warning limit
    except Exception:  # damaged files make the reader raise nearly any exception
        return None


def _orientation_and_frames(data: bytes) -> tuple[int, int]:
    """EXIF orientation of an image that is no JPEG, and the number of its frames or pages; 1 where that is not known.

    Of a PNG, Pillow would decode all pixels to learn that there is no such chunk.
    """
    if data.startswith(_PNG_START) and not any(chunk in data for chunk in _PNG_EXTRAS):
        return 1, 1
    try:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as picture:
            return picture.getexif().get(_ORIENTATION, 1), getattr(picture, "n_frames", 1)
    except Exception:  # see _size
        return 1, 1


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    transposed, vertical, horizontal = _UPRIGHT.get(orientation, (0, 0, 0))
    image = image.transpose(1, 0, 2) if transposed else image
    image = image[::-1] if vertical else image
    return np.ascontiguousarray(image[:, ::-1] if horizontal else image)


def _is_cut_off(data: bytes) -> bool:
    """True for JPEG or PNG data without their end marker. Bytes after the marker are allowed."""
    if data.startswith(_JPEG_START):
        return not _jpeg_ends(data)
    if data.startswith(_PNG_START):
        return not _png_ends(data)
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Kind and position, behind the marker, of the segments up to the first scan or the end.

    They are walked in order, so that segments of a thumbnail are not mistaken for the image's.
    """
    position = len(_JPEG_START)
    while marker := _JPEG_MARKER.search(data, position):
        position, kind = marker.end(), marker[1][0]
        yield kind, position
        if kind in (_END, _SCAN):
            return
        if kind != _TEM:  # the one remaining marker without a length
            position += int.from_bytes(data[position : position + 2], "big")


def _jpeg_ends(data: bytes) -> bool:
    """True if an end marker exists; from the first scan on it is searched from the back, where it mostly is: no scan
    and no table holds these two bytes.
    """
    for kind, position in _jpeg_segments(data):
        if kind == _END:
            return True
        if kind == _SCAN:
            return data.rfind(_JPEG_END, position) >= 0
    return False


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for kind, position in _jpeg_segments(data):
        if kind in _FRAMES and position + 7 <= len(data):  # length, bits, height, width
            return struct.unpack_from(">HH", data, position + 3)
    return None


def _png_ends(data: bytes) -> bool:
    position = len(_PNG_START)
    while position + 12 <= len(data):  # length, type and checksum: 4 bytes each
        if data[position + 4 : position + 8] == _PNG_END:
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def normalise(
    image: np.ndarray, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD, out: np.ndarray | None = None
) -> np.ndarray:
    """Normalises (H, W, 3) uint8 RGB to (3, H, W) float32 by a mean and a standard deviation of values 0 to 1."""
    out = np.empty((3, *image.shape[:2]), np.float32) if out is None else out
    for plane, values, channel in zip(cv2.split(image), _normalised(mean, std), out):
        cv2.LUT(plane, values, dst=channel)
    return out


@lru_cache
def _normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    return ((np.arange(256)[None] / 255 - np.array(mean)[:, None]) / np.array(std)[:, None]).astype(np.float32)
