"""Reading images: colours, names, orientation, and files that are damaged."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from dataset.images import UnreadableImage, image_size, read_image
from errors import InputError


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


def stored(folder: Path, pixels: np.ndarray, name: str = "a.png") -> np.ndarray:
    """What is read of an image (H, W), BGR or BGRA that OpenCV stored."""
    cv2.imwrite(str(folder / name), pixels)
    return read_image(folder / name)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp", "a.tif", "a.gif", "a.jp2", "a.ppm", "a.jpg"])
def test_coloured_images_become_rgb(tmp_path, name):
    blue = np.zeros((64, 64, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    np.testing.assert_allclose(stored(tmp_path, blue, name), np.full((64, 64, 3), [0, 0, 255]), atol=4)


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "a.tif"])
def test_grey_images_become_rgb(tmp_path, name):
    np.testing.assert_array_equal(stored(tmp_path, np.full((8, 9), 77, np.uint8), name), np.full((8, 9, 3), 77))


def test_transparent_images_are_shown_on_white(tmp_path):
    pixels = np.zeros((1, 4, 4), np.uint8)
    pixels[0, :, 3] = 0, 51, 204, 255  # black, more and more opaque
    pixels[0, 3, :3] = 10, 20, 30
    assert stored(tmp_path, pixels)[0].tolist() == [[255] * 3, [204] * 3, [51] * 3, [30, 20, 10]]
    assert stored(tmp_path, pixels.astype(np.uint16) * 257)[0].tolist() == [
        [255] * 3,
        [204] * 3,
        [51] * 3,
        [30, 20, 10],
    ]
    pixels[..., 3] = 0  # as many programs write 32 bits without meaning transparency
    assert stored(tmp_path, pixels, "a.bmp")[0, 3].tolist() == [30, 20, 10]


def test_transparency_of_grey_and_palette_images(tmp_path):
    mask = Image.fromarray(np.uint8([[0, 255, 255]]))
    black = Image.new("L", mask.size, 0)
    Image.merge("LA", (black, mask)).save(tmp_path / "la.png")
    palette = Image.fromarray(np.uint8([[0, 1, 1]])).convert("P")
    palette.putpalette([0] * 768)
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 255]))
    for name in ("la.png", "palette.png"):
        assert read_image(tmp_path / name)[0].tolist() == [[255] * 3, [0] * 3, [0] * 3]


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_16_bits_are_read_by_the_range_they_use(tmp_path, bits, white):
    values = np.uint16([[0, white // 2, white]])
    assert stored(tmp_path, values)[0, :, 0].tolist() == [0, 127, 255]
    assert stored(tmp_path, values, "a.tif")[0, :, 2].tolist() == [0, 127, 255]


def test_floats_are_no_image(tmp_path):
    with pytest.raises(UnreadableImage, match=r"a\.tif: not an image OpenCV can decode"):
        stored(tmp_path, np.ones((4, 4), np.float32), "a.tif")


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says so, and that holds nothing of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_pixels_are_counted_before_decoding(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_of(30000, 30000))
    with pytest.raises(UnreadableImage, match=r"bomb\.png: has 30000x30000 pixels, more than 67,108,864; .*KKDNET_MAX"):
        read_image(bomb)
    for suffix in (".jpg", ".png", ".bmp", ".tif", ".gif", ".webp"):
        pixels = stored(tmp_path, np.full((20, 50, 3), 9, np.uint8), f"a{suffix}")
        assert image_size(tmp_path / f"a{suffix}") == pixels.shape[:2] == (20, 50)
        monkeypatch.setenv("KKDNET_MAX_PIXELS", "999")
        with pytest.raises(UnreadableImage, match="has 50x20 pixels, more than 999"):
            read_image(tmp_path / f"a{suffix}")
        monkeypatch.setenv("KKDNET_MAX_PIXELS", "1000")
        read_image(tmp_path / f"a{suffix}")
    monkeypatch.setenv("KKDNET_MAX_PIXELS", "many")
    with pytest.raises(InputError, match="KKDNET_MAX_PIXELS=many: give a number of pixels"):
        read_image(bomb)


def test_a_jpeg_of_a_thousand_scans(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = jpeg.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(jpeg[:-2] + 200 * jpeg[last : last + 64] + jpeg[-2:])
    with pytest.raises(UnreadableImage, match="too many scans"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "a.jpg"
    {"pipe": os.mkfifo, "folder": Path.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}[kind](path)
    with pytest.raises(UnreadableImage, match=r"a\.jpg: is no regular file"):
        read_image(path)
    assert image_size(path) is None


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_viewers_show_it(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((48, 80, 3), np.uint8)
    stored[:24, :40], stored[24:, 40:], stored[:24, 40:] = 255, 90, (200, 40, 40)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=100)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), int)
    upright = read_image(path, upright=True)
    assert upright.shape == shown.shape and np.abs(upright - shown).mean() < 3
    assert np.abs(read_image(path) - stored.astype(int)).mean() < 3
