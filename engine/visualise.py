"""Pictures of detections and training targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dataset.images import MEAN, STD, read_image
from errors import InputError
from files import IMAGE_SUFFIXES, write_aside
from post_processing import Detection

if TYPE_CHECKING:  # exported networks detect, and show it, without torch
    from dataset.text.records import TextRecord
    from dataset.text.targets import Targets

GROUND_TRUTH, IGNORED, DETECTED = (0, 200, 0), (160, 160, 160), (230, 40, 40)  # RGB
SHOWN = 0.3  # lowest score of a box that is drawn
_JPEG_START = b"\xff\xd8"
MOST = 65500  # pixels of a side of a JPEG file
_MARK = b"\xff\xfe\x00\x12KKDnet's picture"  # a comment segment: its length, then its text
LARGEST_KERNEL, SMALLEST_KERNEL = (255, 220, 0), (230, 40, 40)


class TooLarge(InputError):
    """A picture that no JPEG file can hold."""


def draw(image: np.ndarray, record: TextRecord | None, detections: Sequence[Detection]) -> np.ndarray:
    """A copy of an RGB image (H, W, 3) with ground truth (green, ignored grey) and detections (red, with scores)."""
    picture = image.copy()
    thickness = max(1, round(min(image.shape[:2]) / 320))
    for polygon, ignored in zip(record.polygons, record.ignore) if record is not None else ():
        _outline(picture, polygon, IGNORED if ignored else GROUND_TRUTH, thickness)
    for polygon, score in detections:
        _outline(picture, polygon, DETECTED, thickness)
        corner = np.rint(polygon[polygon.sum(1).argmin()]).astype(int).tolist()
        cv2.putText(picture, f"{score:.2f}", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness, DETECTED, thickness)
    return picture


def denormalise(image: np.ndarray) -> np.ndarray:
    """The RGB picture (H, W, 3) uint8 of a network input (3, H, W) float32: `dataset.normalise` undone."""
    values = image.transpose(1, 2, 0) * np.array(STD) + np.array(MEAN)
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def kernel_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB colours of `count` kernels from large to small, evenly from yellow to red."""
    mix = np.linspace(0, 1, count)[:, None] if count > 1 else np.ones((count, 1))
    colours = np.rint((1 - mix) * LARGEST_KERNEL + mix * SMALLEST_KERNEL).astype(int)
    return [tuple(colour) for colour in colours.tolist()]


def draw_targets(image: np.ndarray, targets: Targets, thickness: int = 1) -> np.ndarray:
    """A copy of an RGB image (H, W, 3) with its training targets.

    Ignored regions are half grey with a grey outline. Over them come the outlines of every instance (green) and
    of the kernel maps (yellow to red, as `kernel_colours`), without the kernels of ignored regions, which no
    text loss uses; kernels that touch share one outline.
    """
    picture = image.copy()
    ignored = targets.training_mask == 0
    picture[ignored] = (picture[ignored] + np.array(IGNORED)) // 2
    _outline_map(picture, ignored, IGNORED, thickness)
    for number in range(1, int(targets.instances.max(initial=0)) + 1):
        _outline_map(picture, targets.instances == number, GROUND_TRUTH, thickness)
    for kernel, colour in zip(targets.kernels, kernel_colours(len(targets.kernels))):
        _outline_map(picture, kernel & targets.training_mask, colour, thickness)
    return picture


def save_pictures(folder: str | Path, records: Sequence[TextRecord], results: dict[str, list[Detection]]) -> None:
    """Writes FOLDER/NAME.jpg for every record that has results."""
    for record in records:
        if record.name in results:
            picture = draw(read_image(record.image_path), record, results[record.name])
            save_picture(Path(folder) / f"{record.name}.jpg", picture)


def draw_objects(
    image: np.ndarray, boxes: np.ndarray, found: Mapping[str, Any], classes: Sequence[str] = ()
) -> np.ndarray:
    """A copy of an RGB image (H, W, 3) with objects.

    Args:
        boxes: (n, 4) ground truth, green.
        found: result of an image, see Evaluator.__call__, or empty; red, with class, score and outline of the
            mask. Detections with scores below SHOWN are left out.
        classes: class names by label.
    """
    from eval.coco import decode_mask

    picture = image.copy()
    thickness = max(1, round(min(picture.shape[:2]) / 320))
    for box in boxes:
        _outline(picture, _corners(box), GROUND_TRUTH, thickness)
    for i in np.flatnonzero(np.asarray(found.get("scores", ())) >= SHOWN):
        box, text = found["boxes"][i], f"{classes[found['labels'][i] - 1]} {found['scores'][i]:.2f}"
        if "segmentations" in found:
            mask = decode_mask(found["segmentations"][i])
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(picture, contours, -1, DETECTED, thickness)
        _outline(picture, _corners(box), DETECTED, thickness)
        corner = np.rint(box[:2]).astype(int).tolist()
        cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness, DETECTED, thickness)
    return picture


def _corners(box: np.ndarray) -> np.ndarray:
    return box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Writes an RGB picture (H, W, 3) uint8 in the format of the file's extension, through a temporary file."""
    height, width = picture.shape[:2]
    if max(height, width) > MOST and path.suffix.lower() in (".jpg", ".jpeg"):
        raise TooLarge(f"{path}: is not written: has {width}x{height} pixels, a JPEG file {MOST} a side at most")
    try:
        encoded, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error:
        encoded = False
    if not encoded:
        raise InputError(f"{path}: cannot encode a picture as '{path.suffix}'; use .jpg or .png")
    raw = data.tobytes()
    if raw.startswith(_JPEG_START):
        raw = _JPEG_START + _MARK + raw[len(_JPEG_START) :]
    with write_aside(path) as aside:
        aside.write_bytes(raw)


def check_pictures(field: str, folder: Path, own: Sequence[Path] = ()) -> None:
    """Checks that a folder for pictures holds no other images, such as the photographs of a data set.

    Args:
        own: images that are read, which must not be overwritten even where they are such pictures.

    Raises:
        InputError: names the first image in it, or below it, that `save_picture` has not written.
    """
    read = {path.resolve() for path in own} if folder.is_dir() else ()
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.resolve() in read:
            raise InputError(f"{field} {folder}: holds {path}, which is read and could be lost; name another folder")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            with path.open("rb") as file:
                if not file.read(len(_JPEG_START) + len(_MARK)).endswith(_MARK):
                    raise InputError(
                        f"{field} {folder}: holds {path}, which is no picture of detections; name another folder"
                    )


def _outline(picture: np.ndarray, polygon: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    cv2.polylines(picture, [np.rint(polygon).astype(np.int32)], True, colour, thickness, cv2.LINE_AA)


def _outline_map(picture: np.ndarray, region: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    """Outlines the non-zero parts, and the holes in them, of a map (H, W)."""
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, contours, -1, colour, thickness)
