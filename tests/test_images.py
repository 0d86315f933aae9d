"""Reading images: colours, names, orientation, and files that are damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset.images import UnreadableImage, read_image


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", ["with space.png", "Straße 文字.PNG", "plain.jpg"])
def test_read_image_is_rgb(tmp_path, name):
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    path = tmp_path / name
    path.write_bytes(cv2.imencode(path.suffix.lower(), red)[1].tobytes())
    image = read_image(path)
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8
    assert (image[..., 0] > 250).all() and (image[..., 1:] < 5).all()


@pytest.mark.parametrize("pixels", [np.full((8, 9), 77, np.uint8), np.full((8, 9, 4), 77, np.uint8)])
def test_grey_and_transparent_images_become_rgb(tmp_path, pixels):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels)
    np.testing.assert_array_equal(read_image(path), np.full((8, 9, 3), 77))


def exif_rotated(jpeg: bytes) -> bytes:
    """The JPEG with an EXIF block whose only entry says: turn by 90 degrees (orientation 6)."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_exif_orientation_is_ignored(tmp_path):
    path = tmp_path / "turned.jpg"
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:, :30] = 255
    path.write_bytes(exif_rotated(cv2.imencode(".jpg", stored)[1].tobytes()))
    assert cv2.imread(str(path)).shape == (60, 40, 3)  # the orientation is understood where it is not ignored
    image = read_image(path)
    assert image.shape == (40, 60, 3) and image[:, :25].min() > 200 and image[:, 35:].max() < 50


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_cut_off_image_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    read_image(path)
    cut(path, share)
    with pytest.raises(UnreadableImage, match=path.name) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_progressive_jpeg_padding_and_thumbnail(tmp_path):
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    jpeg = cv2.imencode(".jpg", pixels, options)[1].tobytes()
    thumbnail = cv2.imencode(".jpg", pixels[:8, :8])[1].tobytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    for whole in (jpeg, jpeg + b"\0" * 100, jpeg[:2] + segment + jpeg[2:]):
        path.write_bytes(whole)
        assert read_image(path).shape == (64, 64, 3)
    # The thumbnail's end marker is not the image's, though it stands in the file.
    path.write_bytes((jpeg[:2] + segment + jpeg[2:])[:-200])
    with pytest.raises(UnreadableImage, match="end early"):
        read_image(path)


def test_progressive_jpeg_cut_off_anywhere_is_refused(tmp_path):
    """Nothing before the end marker looks like it: neither in a scan, nor in the tables between two of them."""
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    for length in range(3, len(jpeg), 2):
        path.write_bytes(jpeg[:length])
        with pytest.raises(UnreadableImage, match="end early"):
            read_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xd9"])
def test_undecodable_and_missing_images(tmp_path, content):
    path = tmp_path / "a.jpg"
    with pytest.raises(UnreadableImage, match=r"a\.jpg: cannot be opened"):
        read_image(path)
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"a\.jpg: not an image"):
        read_image(path)
