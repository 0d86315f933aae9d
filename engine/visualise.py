"""Pictures of detections, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dataset import TextRecord, read_image
from engine.files import write_aside
from errors import InputError
from post_processing import Detection

GROUND_TRUTH, IGNORED, DETECTED = (0, 200, 0), (160, 160, 160), (230, 40, 40)  # RGB


def draw(image: np.ndarray, record: TextRecord, detections: Sequence[Detection]) -> np.ndarray:
    """A copy of an RGB image (H, W, 3) with ground truth (green, ignored grey) and detections (red, with scores)."""
    picture = image.copy()
    thickness = max(1, round(min(image.shape[:2]) / 320))
    for polygon, ignored in zip(record.polygons, record.ignore):
        _outline(picture, polygon, IGNORED if ignored else GROUND_TRUTH, thickness)
    for polygon, score in detections:
        _outline(picture, polygon, DETECTED, thickness)
        corner = np.rint(polygon[polygon.sum(1).argmin()]).astype(int).tolist()
        cv2.putText(picture, f"{score:.2f}", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness, DETECTED, thickness)
    return picture


def save_pictures(folder: str | Path, records: Sequence[TextRecord], results: dict[str, list[Detection]]) -> None:
    """Writes FOLDER/NAME.jpg for every record that has results."""
    for record in records:
        if record.name in results:
            picture = draw(read_image(record.image_path), record, results[record.name])
            save_picture(Path(folder) / f"{record.name}.jpg", picture)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Writes an RGB picture (H, W, 3) uint8 in the format of the file's extension, aside first."""
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise InputError(f"{path}: cannot encode a picture as '{path.suffix}'; use .jpg or .png")
    with write_aside(path) as aside:
        aside.write_bytes(data.tobytes())


def _outline(picture: np.ndarray, polygon: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    cv2.polylines(picture, [np.rint(polygon).astype(np.int32)], True, colour, thickness, cv2.LINE_AA)
