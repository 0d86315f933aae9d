"""Reading an image file the way its annotation was made."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from errors import InputError

# A marker is FF and a byte that is neither stuffing (00), a restart (D0 to D7) nor a fill byte (FF).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_END, _SCAN, _TEM = 0xD9, 0xDA, 0x01
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


class UnreadableImage(InputError):
    """An image file that is missing, damaged or cut off."""


def read_image(path: Path | str) -> np.ndarray:
    """Reads an image as stored: EXIF orientation is ignored, since annotations refer to the stored pixels.

    Args:
        path: any format OpenCV decodes; grey, 16-bit and transparent images become 8-bit RGB.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UnreadableImage: the file cannot be opened or decoded, or a JPEG or PNG ends before its end marker
            (the decoder would fill the rest with grey and say nothing).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be opened ({error.strerror}); check the path and rights") from error
    if _is_cut_off(data):
        raise UnreadableImage(f"{path}: the image data end early; copy the file again or remove it with its label")
    try:
        # From memory, since cv2.imread does not open every non-ASCII path on every platform.
        buffer = np.frombuffer(data, np.uint8)
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableImage(f"{path}: not an image OpenCV can decode; replace the file or remove it with its label")
    return image


def _is_cut_off(data: bytes) -> bool:
    """True for JPEG or PNG data without their end marker. Bytes after the marker are allowed."""
    if data.startswith(_JPEG_START):
        return not _jpeg_ends(data)
    if data.startswith(_PNG_START):
        return not _png_ends(data)
    return False


def _jpeg_ends(data: bytes) -> bool:
    """Walks the segments before the first scan, so that a thumbnail's end marker is not taken for the image's.

    From there on the end marker is looked for from the back, where it mostly is: no scan and no table holds
    these two bytes.
    """
    position = len(_JPEG_START)
    while marker := _JPEG_MARKER.search(data, position):
        position = marker.end()
        kind = marker[1][0]
        if kind == _END:
            return True
        if kind == _SCAN:
            return data.rfind(_JPEG_END, position) >= 0
        if kind != _TEM:  # the one remaining marker without a length
            position += int.from_bytes(data[position : position + 2], "big")
    return False


def _png_ends(data: bytes) -> bool:
    position = len(_PNG_START)
    while position + 12 <= len(data):  # length, type and checksum: 4 bytes each
        if data[position + 4 : position + 8] == _PNG_END:
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False
