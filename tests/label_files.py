"""Small labelme and COCO-Text data, and runs of the import, for its tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from conftest import run_script
from PIL import ExifTags, Image

WIDTH, HEIGHT = 60, 40
CURVE = [[5, 5], [20, 2], [40, 5], [40, 15], [20, 12], [5, 15]]
ALL_TRAIN = ("--test-fraction", 0)


def picture(seed: int = 0, blocks: int = 4) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 RGB of flat blocks, which JPEG keeps nearly."""
    coarse = np.random.default_rng(seed).integers(0, 256, (blocks, blocks, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


def write_picture(path: Path, image: np.ndarray | None = None, orientation: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(picture() if image is None else image).save(path, exif=exif, quality=95, subsampling=0)
    return path


def shape(label: str = "word", points: object = CURVE, **more: object) -> dict:
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}} | more


def write_labelme(folder: Path, name: str = "a.jpg", shapes: object = None, image: bool = True, **more: object) -> Path:
    """One labelme file and, beside it, its image."""
    if image:
        write_picture(folder / name)
    content = {"version": "5.4.1", "shapes": [shape()] if shapes is None else shapes, "imagePath": name}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(name).stem}.json"
    path.write_text(json.dumps(content | {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH} | more))
    return path


def write_coco(folder: Path, content: Mapping, names: tuple[str, ...] = ("a.jpg", "b.jpg")) -> Path:
    for name in names:
        write_picture(folder / name)
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def coco_text(anns: Mapping, **sets: str) -> dict:
    """COCO-Text with images 1 (a.jpg) and 2 (b.jpg)."""
    imgs = {
        str(i): {"id": i, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT}
        | ({"set": sets[name]} if name in sets else {})
        for i, name in ((1, "a"), (2, "b"))
    }
    return {"cats": {}, "imgs": imgs, "anns": anns, "imgToAnns": {}, "info": {}}


def ann(image_id: object = 1, **fields: object) -> dict:
    flat = list(np.ravel(CURVE).tolist())
    return {"image_id": image_id, "mask": flat, "utf8_string": "word", "legibility": "legible"} | fields


def run(*arguments: object, code: int = 0) -> str:
    return run_script("tools/import_dataset.py", *arguments, code=code)


def error(*arguments: object) -> str:
    """The last line of a run that must fail and leave nothing behind."""
    destination = Path(str(arguments[2]))
    output = run(*arguments, code=2)
    assert "Traceback" not in output
    assert not destination.exists() and not list(destination.parent.glob(".*partial*"))
    return output.strip().splitlines()[-1]
