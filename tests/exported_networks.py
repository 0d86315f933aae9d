"""A small exported network whose answer is known: text is what is bright."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_script

from dataset.images import MEAN, STD

ONE, TWO = (16, 8, 80, 24), (32, 48, 128, 80)  # boxes
PACKAGES = ("onnx", "onnxruntime", "openvino")
needs_packages = pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason="requirement-export.txt is not installed")


def bright_network(path: Path, weight: float = 6.0, **metadata) -> Path:
    """Writes an ONNX file in the form of export.py's: every 4x4 pixels are text and kernel as far as they are bright.

    The logits of white and of black are weight and -weight.
    """
    from onnx import TensorProto, helper, numpy_helper

    from engine.inference.export import save

    scale = 2 * weight / (3 * 16) * np.array(STD)[None, :, None, None]  # undoes the normalisation
    kernel = np.zeros((6, 3, 4, 4), np.float32)
    kernel[:2] = np.broadcast_to(scale, (2, 3, 4, 4))
    bias = np.zeros(6, np.float32)
    bias[:2] = 2 * weight * np.mean(MEAN) - weight
    values = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"]),
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 6, "rows", "columns"]),
    ]
    node = helper.make_node("Conv", ["images", "kernel", "bias"], ["maps"], strides=[4, 4])
    weights = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph([node], "bright", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    about = {
        "format": 1, "task": "text", "precision": "32", "mean": MEAN, "std": STD, "stride": 32, "map_stride": 4,
        "maps": ["text", "kernel", *["embedding"] * 4], "classes": [], "short_size": 96, "min_score": 0.8,
        "min_area": 16, "bbox_type": "rect", "protocol": "icdar2015", "config": {},
    }  # fmt: skip
    save(model, path, {**about, **metadata})
    return path


def picture(height: int = 96, width: int = 160, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A black picture (H, W, 3) with white boxes (x1, y1, x2, y2)."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def save(path: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def video(path: Path, frames: int, pictures: Sequence[np.ndarray] = ()) -> Path:
    """A video of 10 frames a second, of pictures or of a box that goes to the right."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 96))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(pictures[number] if pictures else picture(96, 160, (16 * number, 16, 16 * number + 48, 48)))
    writer.release()
    return path


def predict(*arguments: object, code: int = 0, runtime: str = "onnx") -> str:
    """Runs predict.py; returns what it said."""
    return run_script("predict.py", *arguments, "--runtime", runtime, code=code)


def boxes(image: dict) -> list[list[int]]:
    """Bounds of the detections of an entry of the JSON file, to whole maps' pixels."""
    found = [np.array(detection["polygon"]) for detection in image["detections"]]
    return sorted([*np.rint(polygon.min(0)).tolist(), *np.rint(polygon.max(0)).tolist()] for polygon in found)


def close_to(found: list, expected: list, pixels: int = 3) -> bool:
    return len(found) == len(expected) and np.abs(np.array(found) - sorted(map(list, expected))).max() <= pixels
