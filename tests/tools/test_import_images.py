"""Images of an import: copied, linked, converted, and turned as they were when they were annotated."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from label_files import ALL_TRAIN, CURVE, error, picture, run, write_labelme, write_picture
from PIL import ExifTags, Image

from dataset import read_image
from dataset.text.parsers.total_text import TotalText


def test_links_instead_of_copies(tmp_path):
    write_labelme(tmp_path / "in")
    run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN, "--link")
    [record] = TotalText(tmp_path / "out", "train")
    assert record.image_path.is_symlink() and record.image_path.resolve() == tmp_path / "in" / "a.jpg"


def test_formats_that_training_does_not_read_become_png(tmp_path):
    write_labelme(tmp_path / "in", "a.tga")
    output = run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN, "--link")
    [record] = TotalText(tmp_path / "out", "train")
    assert "1 images stored as PNG" in output and record.image_path.name == "a.png"
    np.testing.assert_array_equal(read_image(record.image_path), picture())


# How the pixels of an upright image lie in a file of each EXIF orientation (EXIF 2.3, tag 0x0112: where the
# file's first row and first column are in the scene: 2 top-right, 3 bottom-right, 4 bottom-left, 5 left-top, ...).
AS_STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("orientation", AS_STORED)
def test_images_are_stored_as_they_were_annotated(tmp_path, orientation, name):
    """labelme shows, and saves polygons for, the upright image; training reads the stored pixels."""
    upright = picture(orientation)
    stored = np.ascontiguousarray(AS_STORED[orientation](upright))
    source = write_picture(tmp_path / "in" / name, stored, orientation)
    assert np.abs(cv2.imread(str(source))[..., ::-1].astype(int) - upright).mean() < 3  # as a viewer shows it
    write_labelme(tmp_path / "in", name, image=False)
    output = run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN, "--link")
    [record] = TotalText(tmp_path / "out", "train")
    difference = np.abs(read_image(record.image_path).astype(int) - upright)
    assert difference.max() == 0 if name == "a.png" else difference.mean() < 3
    assert np.array_equal(record.polygons[0], CURVE)
    assert record.image_path.is_symlink() == (orientation == 1)
    assert ("1 images turned as their EXIF orientation says" in output) == (orientation != 1)
    with Image.open(record.image_path) as written:
        assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1


def test_an_annotation_on_the_stored_pixels_keeps_them(tmp_path):
    """Some tools, and old ones, annotate without turning; the size they name tells."""
    stored = picture()  # 60x40 as stored, 40x60 upright
    source = write_picture(tmp_path / "in" / "a.png", stored, orientation=6)
    write_labelme(tmp_path / "in", "a.png", image=False)  # names 60x40
    run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    [record] = TotalText(tmp_path / "out", "train")
    assert record.image_path.read_bytes() == source.read_bytes()
    np.testing.assert_array_equal(read_image(record.image_path), stored)
    write_labelme(tmp_path / "in", "a.png", image=False, imageWidth=None)  # does not tell: upright
    run("labelme", tmp_path / "in", tmp_path / "again", *ALL_TRAIN)
    assert read_image(TotalText(tmp_path / "again", "train")[0].image_path).shape == (60, 40, 3)


def test_pixels_are_counted(tmp_path, monkeypatch):
    write_labelme(tmp_path / "in", "a.tga")
    monkeypatch.setenv("KKDNET_MAX_PIXELS", "2399")
    said = error("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    assert "a.tga: cannot be read (has 60x40 pixels, more than 2,399); replace or remove it" in said
