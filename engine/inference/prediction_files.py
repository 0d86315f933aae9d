"""What predict.py writes of its detections, picture by picture. Needs no torch for text."""

from __future__ import annotations

import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.inference.predictor import Job
from engine.inference.sources import Frame, Source, Video
from engine.visualise import TooLarge, check_pictures, draw, draw_objects, save_picture
from errors import InputError, say
from files import check_output, open_regular, write_aside
from post_processing import Detection

STEEP, TALL = 60, 1.5  # see `straightened`
_NO_BOXES = np.zeros((0, 4), np.float32)


class Output(ABC):
    """A place that takes the detections of one picture after the other.

    Args:
        option: the option that names it, for messages.
        path: the folder or file.
    """

    def __init__(self, option: str, path: Path) -> None:
        self.option, self.path = option, path

    @abstractmethod
    def check(self, sources: Sequence[Source], read: Sequence[Path]) -> None:
        """Checks the place before the first picture is read.

        Args:
            sources: the pictures.
            read: other files that are read.

        Raises:
            InputError: it cannot be written, or something that is read or not ours would be overwritten.
        """

    @abstractmethod
    def write(self, frame: Frame, job: Job) -> None:
        """Writes, or keeps, what was found in a picture."""

    def skip(self, source: Source, error: InputError) -> None:  # noqa: B027 - most do not tell
        """Takes note of a file that cannot be read."""

    def close(self) -> None:  # noqa: B027 - most keep nothing
        """Writes what was kept; called once, also after an error or Ctrl-C."""


class Folder(Output):
    """Base of the outputs that write JPEG files NAME.jpg or NAME_i.jpg into a folder."""

    def check(self, sources: Sequence[Source], read: Sequence[Path]) -> None:
        check_output(self.option, self.path, read)
        check_pictures(self.option, self.path, own=[source.path for source in sources])

    def save(self, name: str, picture: np.ndarray) -> None:
        """Writes an RGB picture (H, W, 3) uint8, or says that no JPEG file can hold it."""
        try:
            save_picture(self.path / f"{name}.jpg", picture)
        except TooLarge as error:
            say(str(error), sys.stderr)


class Pictures(Folder):
    """`--vis`: NAME.jpg with the detections drawn, NAME.mp4 of a video."""

    def __init__(self, option: str, path: Path, classes: Sequence[str] | None) -> None:
        super().__init__(option, path)
        self.classes = classes
        self._source: Source | None = None
        self._video: cv2.VideoWriter | None = None
        self._frames = 0
        self._place = path

    def write(self, frame: Frame, job: Job) -> None:
        if self.classes is None:
            picture = draw(job.picture, None, job.result)
        else:
            picture = draw_objects(job.picture, _NO_BOXES, job.result, self.classes)
        if not frame.source.is_video:
            self.save(frame.name, picture)
            return
        if self._source is not frame.source:
            self.close()
            self._place = self.path / f"{frame.source.name}.mp4"
            if frame.number:
                raise InputError(
                    f"{self.option} {self._place}: the {frame.number} frames before are those of an earlier run, and a "
                    f"video is written as a whole; leave out {self.option}, or name another file for --jsonl"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            size = picture.shape[1::-1]
            rate = Video(frame.source.path).rate
            self._video = cv2.VideoWriter(str(self._aside), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
            if not self._video.isOpened():
                self._video = None
                where = f"{self.option} {self._place}"
                raise InputError(f"{where}: OpenCV cannot write this video of {size[0]}x{size[1]} pixels")
            self._source, self._frames = frame.source, 0
        self._video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        video, self._source, self._video = self._video, None, None
        if video is None:
            return
        video.release()
        try:
            whole = Video(self._aside).count >= self._frames  # OpenCV names no error
        except InputError:
            whole = False
        if not whole:
            self._aside.unlink(missing_ok=True)
            raise InputError(f"{self.option} {self._place}: could not be written; is the disk full?")
        self._aside.replace(self._place)

    @property
    def _aside(self) -> Path:
        """Where the video grows: under its own name it is whole."""
        return self._place.with_name(f".{self._place.stem}.part.mp4")


class Crops(Folder):
    """`--crops`: NAME_i.jpg, each instance cut out and straightened, in the order of the detections from 0."""

    def write(self, frame: Frame, job: Job) -> None:
        for number, detection in enumerate(job.result):
            self.save(f"{frame.name}_{number}", straightened(job.picture, detection.polygon))
        number = len(job.result)  # of an earlier run, which found more
        while (more := self.path / f"{frame.name}_{number}.jpg").is_file():
            more.unlink()
            number += 1


class Maps(Folder):
    """`--maps`: NAME_text.jpg and NAME_kernel.jpg, the probabilities as colours from black (0) to light yellow (1)."""

    def __init__(self, option: str, path: Path, maps: Sequence[str]) -> None:
        super().__init__(option, path)
        kernels = [index for index, what in enumerate(maps) if what == "kernel"]
        self.channels = {"text": maps.index("text"), "kernel": kernels[-1]}  # PSENet's smallest

    def write(self, frame: Frame, job: Job) -> None:
        size = job.picture.shape[1::-1]
        for what, channel in self.channels.items():
            probability = 1 / (1 + np.exp(-np.clip(job.maps[channel], -30, 30)))
            values = cv2.resize(np.rint(255 * probability).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
            heat = cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)
            self.save(f"{frame.name}_{what}", cv2.cvtColor(heat, cv2.COLOR_BGR2RGB))


class Texts(Output):
    """`--txt`: a result file a picture, in the format of a benchmark.

    Args:
        protocol: the benchmark, a key of eval.PROTOCOLS.
        scores: append the score to each line.
    """

    def __init__(self, option: str, path: Path, protocol: str, scores: bool) -> None:
        super().__init__(option, path)
        try:
            from eval import PROTOCOLS
        except ModuleNotFoundError as error:
            raise InputError(f"{option} needs the package {error.name}: pip install -r requirement.txt") from error
        if protocol not in PROTOCOLS:
            raise InputError(f"--txt-format {protocol}: expected one of {', '.join(PROTOCOLS)}")
        self.protocol, self.scores = PROTOCOLS[protocol], scores

    def check(self, sources: Sequence[Source], read: Sequence[Path]) -> None:
        from eval.files import check_folder

        check_output(self.option, self.path, read)
        check_folder(self.path)

    def write(self, frame: Frame, job: Job) -> None:
        form = self.protocol.results
        polygons = [detection.polygon for detection in job.result]
        scores = [detection.score for detection in job.result] if self.scores else None
        with write_aside(self.path / form.file_name(frame.name)) as aside:
            aside.write_text(form.text(frame.name, polygons, scores), encoding="utf-8", newline="\n")


class Json(Output):
    """`--json`: one file with everything, in the order of the input.

    Args:
        about: what detected: model, runtime and so on.
        classes: names of an object detector's labels; None for text.
    """

    def __init__(self, option: str, path: Path, about: Mapping[str, Any], classes: Sequence[str] | None) -> None:
        super().__init__(option, path)
        self.about, self.classes = about, classes
        self._order: list[Path] = []
        self._images: dict[Path, dict[str, Any]] = {}
        self._skipped: dict[Path, dict[str, str]] = {}

    def check(self, sources: Sequence[Source], read: Sequence[Path]) -> None:
        check_output(self.option, self.path, [*read, *(source.path for source in sources)], folder=False)
        if self.path.is_file() and _first_byte(self.path) not in (b"", b"{"):
            raise InputError(f"{self.option} {self.path}: is a file of another kind; name a new one, FILE.json")
        self._order = [source.path for source in sources]

    def write(self, frame: Frame, job: Job) -> None:
        own = entry_of(job, self.classes)
        path = frame.source.path
        if frame.number is None:
            self._images[path] = {"file": str(path), "name": frame.name, **own}
        else:
            video = self._images.setdefault(path, {"file": str(path), "name": frame.source.name, "frames": []})
            video["frames"].append({"frame": frame.number, "seconds": round(frame.seconds, 3), **own})

    def skip(self, source: Source, error: InputError) -> None:
        self._skipped[source.path] = {"file": str(source.path), "error": str(error)}

    def close(self) -> None:
        images, skipped = ([of[path] for path in self._order if path in of] for of in (self._images, self._skipped))
        content = {**self.about, "images": images, "skipped": skipped}
        with write_aside(self.path) as aside:
            aside.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def _first_byte(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(1)


def entry_of(job: Job, classes: Sequence[str] | None) -> dict[str, Any]:
    """Size of a picture and what was found in it, for JSON.

    Args:
        classes: names of an object detector's labels; None for text.
    """
    height, width = job.picture.shape[:2]
    found = _texts(job.result) if classes is None else _objects(job.result, classes)
    return {"width": width, "height": height, "detections": found}


def _texts(result: Sequence[Detection]) -> list[dict[str, Any]]:
    return [
        {"polygon": np.round(polygon.astype(np.float64), 2).tolist(), "score": round(score, 4)}
        for polygon, score in result
    ]


def _objects(result: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    rows = zip(result["boxes"].tolist(), result["labels"].tolist(), result["scores"].tolist())
    return [
        {
            "box": [round(value, 2) for value in box],
            "label": label,
            **({"class": classes[label - 1]} if classes else {}),
            "score": round(score, 4),
        }
        for box, label, score in rows
    ]


def straightened(picture: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """The minimum-area rectangle of an instance, cut out and turned so that it is level, for a recogniser.

    Text is taken to run along the longer side, if that is no more than STEEP degrees from level; else, as that of a
    vertical sign, along the shorter one, and the result is taller than wide. Sides of nearly one length are turned by
    the smaller angle.

    Args:
        picture: (H, W, 3) uint8.
        polygon: (n, 2) float32, x and y in pixels.

    Returns:
        (h, w, 3) uint8, h and w at least 1; what lies outside the picture repeats its border.
    """
    (x, y), (width, height), angle = cv2.minAreaRect(polygon.astype(np.float32))
    if width < height:
        width, height, angle = height, width, angle + 90
    angle = 90 - (90 - angle) % 180  # of the longer side, above -90, at most 90, in every version of OpenCV
    if abs(angle) > (STEEP if width >= TALL * height else 45):
        width, height, angle = height, width, angle - np.copysign(90, angle)
    size = max(round(width), 1), max(round(height), 1)
    # OpenCV warps no picture of more than 32767 pixels a side, so only what is near is taken.
    reach = math.hypot(*size) / 2 + 4
    left, top = (min(max(int(at - reach), 0), side - 1) for at, side in ((x, picture.shape[1]), (y, picture.shape[0])))
    picture = picture[top : max(int(y + reach), top + 1), left : max(int(x + reach), left + 1)]
    x, y = x - left, y - top
    matrix = cv2.getRotationMatrix2D((x, y), angle, 1.0)
    matrix[:, 2] += (size[0] - 1) / 2 - x, (size[1] - 1) / 2 - y
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
