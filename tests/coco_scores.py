"""Ground truth and results in COCO format for the tests of its scores: random ones, and those of one image."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from eval.coco import encode_masks

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
SIZE = (200, 260)
CATEGORIES = {2: "cat", 5: "dog", 9: "cow", 40: "emu"}  # nothing is an emu


def random_box(rng: np.random.Generator, low: float = 4.0, high: float = 150.0) -> list[float]:
    w, h = np.exp(rng.uniform(np.log(low), np.log(high), 2))
    return [rng.uniform(0, SIZE[1] - w), rng.uniform(0, SIZE[0] - h), w, h]


def ellipse(xywh: list[float]) -> np.ndarray:
    """The mask of a box's ellipse."""
    x, y, w, h = xywh
    centre, axes = (round(x + w / 2), round(y + h / 2)), (max(round(w / 2), 1), max(round(h / 2), 1))
    return cv2.ellipse(np.zeros(SIZE, np.uint8), centre, axes, 0, 0, 360, 1, -1)


def random_truth(rng: np.random.Generator, images: int) -> dict:
    """Images with up to 8 boxes, one in five empty, one annotation in eight a crowd; ids are not in order."""
    ids = rng.permutation(1000)[:images].tolist()
    annotations = []
    for image_id in ids:
        for _ in range(0 if rng.random() < 0.2 else rng.integers(1, 9)):
            box = random_box(rng)
            crowd = bool(rng.random() < 0.12)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.choice([2, 5, 9])),
                    "bbox": box,
                    "area": box[2] * box[3] * rng.uniform(0.5, 1),  # that of a mask is smaller
                    "iscrowd": int(crowd),
                    "segmentation": encode_masks(ellipse(box)[None])[0],
                }
            )
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in ids],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
    }


def random_results(rng: np.random.Generator, truth: dict) -> list[dict]:
    """Shifted ground truth, twice at times, some of another class, and boxes of nothing; scores with ties."""
    found = []
    for image in truth["images"]:
        boxes = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        for a in boxes:
            for _ in range(rng.integers(0, 3)):
                x, y, w, h = a["bbox"]
                dx, dy, dw, dh = rng.normal(0, 0.07, 4)
                category = a["category_id"] if rng.random() < 0.85 else int(rng.choice(list(CATEGORIES)))
                found.append((image["id"], category, [x + dx * w, y + dy * h, w * np.exp(dw), h * np.exp(dh)]))
        for _ in range(rng.integers(0, 4)):
            found.append((image["id"], int(rng.choice(list(CATEGORIES))), random_box(rng)))
    return [
        {"image_id": i, "category_id": c, "bbox": b, "score": float(np.round(rng.random(), 2))} for i, c, b in found
    ]


def write(folder: Path, truth: dict, results: object) -> tuple[Path, Path]:
    paths = folder / "gt.json", folder / "results.json"
    for path, content in zip(paths, (truth, results)):
        path.write_text(json.dumps(content))
    return paths


def one_image(boxes: list[list[float]], **fields) -> dict:
    truth = {
        "images": [{"id": 3, "file_name": "3.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"id": 0, "image_id": 3, "category_id": 5, "bbox": b, **fields} for b in boxes],
        "categories": [{"id": 5, "name": "dog"}],
    }
    return truth


def result(box: list[float], score: float = 0.5, **fields) -> dict:
    return {"image_id": 3, "category_id": 5, "bbox": box, "score": score, **fields}
