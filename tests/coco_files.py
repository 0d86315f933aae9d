"""COCO annotation files and images for the tests: three images, boxes of three classes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from dataset.objects.dataset import CocoDataset, build_object_dataset

TRAIN = {"type": "COCO", "annotations": "gt.json", "images": "images", "short_sides": [48], "long_side": 96}
TEST = {"type": "COCO", "annotations": "gt.json", "images": "images", "short_side": 48, "long_side": 96}


def image(image_id: int, height: int = 40, width: int = 60) -> dict:
    return {"id": image_id, "file_name": f"{image_id}.png", "height": height, "width": width}


def box(annotation_id: int, image_id: int, xywh: list[float], category_id: int = 3, **more) -> dict:
    area = xywh[2] * xywh[3]
    entry = {"id": annotation_id, "image_id": image_id, "category_id": category_id, "bbox": xywh, "area": area}
    return {**entry, "iscrowd": 0, **more}


def content(**changes) -> dict:
    """Three images: two boxes, none, and a crowd beside one box. Categories have gaps and are not in order."""
    tables = {
        "images": [image(7), image(5, 30, 80), image(900)],
        "annotations": [
            box(1, 900, [10, 5, 20, 30], 90),
            box(2, 7, [0, 0, 60, 40], 3),
            box(3, 900, [0, 0, 60, 40], 3, iscrowd=1),
            box(4, 7, [1.5, 2.5, 3, 4], 17),
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}],
    }
    return {**tables, **changes}


def write(root: Path, tables: dict | None = None, images: bool = True) -> Path:
    tables = tables or content()
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "gt.json").write_text(json.dumps(tables))
    rng = np.random.default_rng(0)
    for entry in tables["images"] if images else ():
        pixels = rng.integers(0, 256, (entry["height"], entry["width"], 3), np.uint8)
        cv2.imwrite(str(root / "images" / entry["file_name"]), pixels)
    return root


def dataset_of(root: Path, training: bool = True, **options) -> CocoDataset:
    return build_object_dataset({**(TRAIN if training else TEST), **options}, root, training, seed=4)


def same(first, second) -> bool:
    return np.array_equal(first.image, second.image) and np.array_equal(first.record.boxes, second.record.boxes)


def changed(table: str, i: int, **fields) -> dict:
    tables = content()
    tables[table][i].update(fields)
    return tables
