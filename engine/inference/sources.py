"""What predict.py is given: image files, folders, patterns and videos."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from errors import InputError
from files import IMAGE_SUFFIXES, composed, is_hidden

_FRAME = re.compile(r"_\d{6,}$")  # what Frame.name appends
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
COUNTED = (".mp4", ".m4v", ".mov", ".avi")  # hold the number of their frames


@dataclass(frozen=True)
class Source:
    """An image file or a video.

    Attributes:
        path: the file.
        name: name of what is written for it, unlike that of all others; without extension.
        number: its place among the inputs, from 0.
    """

    path: Path
    name: str
    number: int = 0

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Frame:
    """A picture that a prediction is for.

    Attributes:
        source: where it comes from.
        number: number of a video's frame, from 0; None for an image.
        seconds: time of a video's frame.
    """

    source: Source
    number: int | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """Name of the files that are written for it, without extension."""
        return self.source.name if self.number is None else f"{self.source.name}_{self.number:06d}"

    def __str__(self) -> str:
        return str(self.source.path) if self.number is None else f"{self.source.path}, frame {self.number}"


def expand(inputs: Sequence[str]) -> list[Source]:
    """Files behind names of files, folders (their images and videos, not those of folders in them) and patterns.

    Raises:
        InputError: there is no such file, or nothing in a folder, or no file of that pattern.
    """
    paths: dict[Path, None] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is_picture(file))
            if not found:
                raise InputError(f"{given}: holds no image ({', '.join(IMAGE_SUFFIXES)}) and no video")
        elif path.exists():
            found = [path]
        else:
            found = sorted(file for name in glob.glob(given, recursive=True) if not (file := Path(name)).is_dir())
            if not found:
                raise InputError(f"{given}: there is no such file or folder, and no file of that pattern")
        paths |= dict.fromkeys(found)
    return [Source(path, name, number) for number, (path, name) in enumerate(zip(paths, _names(list(paths))))]


def left_out(inputs: Sequence[str]) -> list[str]:
    """For each folder among the inputs that holds files of other kinds, a line that says how many, and of which."""
    lines = []
    for folder in filter(Path.is_dir, map(Path, inputs)):
        kinds = [file.suffix.lower() for file in folder.iterdir() if file.is_file() and not is_hidden(file.name)]
        others = [kind for kind in kinds if kind not in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
        if others:
            named = ", ".join(sorted({kind or "no suffix" for kind in others}))
            lines.append(f"{folder}: {len(others)} files of other kinds are left out ({named})")
    return lines


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) and not is_hidden(file.name) and file.is_file()


def _names(paths: Sequence[Path]) -> list[str]:
    """The stem of each file; numbered from the second file of a stem on, or if it is that of a video's frame."""
    videos = {composed(path.stem).casefold() for path in paths if path.suffix.lower() in VIDEO_SUFFIXES}
    taken = {stem for path in paths if _FRAME.sub("", stem := composed(path.stem).casefold()) in videos} - videos
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        stem = composed(path.stem)
        name = stem
        while name.casefold() in taken:
            seen[stem] += 1
            name = f"{stem}_{seen[stem] + 1}"
        taken.add(name.casefold())
        names.append(name)
    return names


class Video:
    """Frames of a video file, one after the other.

    Attributes:
        rate: frames per second.
        count: number of frames that the file says it has.

    Raises:
        InputError: no video, or one without frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            str(path).encode()
        except UnicodeEncodeError as error:  # OpenCV would end the process
            raise InputError(f"{str(path)!a}: its name is not UTF-8; rename the video") from error
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise InputError(f"{path}: not a video that OpenCV can decode; convert it, or name its frames as images")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)

    def frames(self) -> Iterator[np.ndarray]:
        """Pictures (H, W, 3) uint8, RGB, upright.

        Raises:
            InputError: there is none; or, after those that there are, that many are missing.
        """
        number = 0
        while True:
            found, picture = self._capture.read()
            if not found:
                break
            number += 1
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        self._capture.release()
        if not number:
            raise InputError(f"{self.path}: holds no frame that can be decoded; copy or convert the video again")
        # Other kinds hold no count: it is guessed from a rate, which may vary. What is held may be a few too many.
        if self.path.suffix.lower() in COUNTED and number < min(self.count - 2, 0.98 * self.count):
            raise InputError(f"{self.path}: ends after {number} of {self.count} frames; copy the video again")


def frames_of(source: Source) -> Iterable[tuple[Frame, np.ndarray | Path]]:
    """The pictures of a source for Predictor.stream: arrays of a video's frames, the path of an image.

    Raises:
        InputError: see Video.
    """
    if not source.is_video:
        return [(Frame(source), source.path)]
    video = Video(source.path)
    return ((Frame(source, n, n / video.rate), picture) for n, picture in enumerate(video.frames()))
