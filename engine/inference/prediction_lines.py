"""Predictions as JSON Lines: a line a picture as it is found, so that a run can go on and several can be merged."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from engine.inference.prediction_files import Output, entry_of
from engine.inference.predictor import Job
from engine.inference.sources import Frame, Source
from errors import InputError
from files import check_output, write_aside

SHARD = "shard"  # (I, N) of the first line, or None
COMPLETE = "complete"  # of the last line of a run that has come to its end
ABOUT = ("model", "runtime", "task")  # of the first line, what a file of --json begins with

IMAGE, FAILED = -1, -2  # in the place of a video's frame


def shard_of(text: str) -> tuple[int, int]:
    """(I, N) of 'I/N', I from 1."""
    parts = text.split("/")
    if len(parts) == 2 and all(part.isdecimal() for part in parts) and 1 <= int(parts[0]) <= int(parts[1]):
        return int(parts[0]), int(parts[1])
    raise InputError(f"--shard {text}: expected I/N, the I-th of N parts, such as 1/8")


def shard_path(path: Path, shard: tuple[int, int]) -> Path:
    """found.jsonl -> found.3-of-8.jsonl."""
    return path.with_name(f"{path.stem}.{shard[0]}-of-{shard[1]}{path.suffix}")


class JsonLines(Output):
    """`--jsonl`: a first line that says what detected, then one for each picture, as soon as it is done.

    A file of the same run is gone on with: pictures in it are `done`. Files that could not be read are tried again.

    Args:
        about: what detected, and on what: a file of another run is refused.
        classes: names of an object detector's labels; None for text.
    """

    def __init__(self, option: str, path: Path, about: Mapping[str, Any], classes: Sequence[str] | None) -> None:
        super().__init__(option, path)
        self.about, self.classes = dict(about), classes
        self.done: set[tuple[int, int | None]] = set()
        self._file: TextIO | None = None

    def check(self, sources: Sequence[Source], read: Sequence[Path]) -> None:
        check_output(self.option, self.path, [*read, *(source.path for source in sources)], folder=False)
        if not self.path.is_file():
            return
        lines = read_lines(self.path)
        _, before = next(lines, (0, self.about))
        if different := [key for key, value in self.about.items() if before.get(key) != value]:
            named = ", ".join(different)
            raise InputError(f"{self.option} {self.path}: is of another run ({named}); remove it, or name another")
        self.done = {_key(line) for _, line in lines if "error" not in line and COMPLETE not in line}

    def is_done(self, frame: Frame) -> bool:
        """True if a picture is in the file already."""
        return (frame.source.number, frame.number) in self.done

    def write(self, frame: Frame, job: Job) -> None:
        place = {"index": frame.source.number, "file": str(frame.source.path), "name": frame.source.name}
        if frame.number is not None:
            place |= {"frame": frame.number, "seconds": round(frame.seconds, 3)}
        self._append({**place, **entry_of(job, self.classes)})

    def skip(self, source: Source, error: InputError) -> None:
        self._append({"index": source.number, "file": str(source.path), "error": str(error)})

    def complete(self) -> None:
        """Notes that all pictures are done; called at the end of a run that was not interrupted."""
        self._append({COMPLETE: True})
        self.close()

    def close(self) -> None:
        with self._opened():
            self._file = None

    def _append(self, line: Mapping[str, Any]) -> None:
        file = self._opened()
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()

    def _opened(self) -> TextIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file():
                _cut_half_line(self.path)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            if not self._file.tell():
                self._append(self.about)
        return self._file


def _cut_half_line(path: Path) -> None:
    """Removes what was written of a last line before a run was killed."""
    with path.open("r+b") as file:
        end = 0
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
        file.truncate(end)


def _key(line: Mapping[str, Any]) -> tuple[int, int | None]:
    return line["index"], line.get("frame")


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole lines of a file, each with its offset in bytes; InputError for one that is not of ours."""
    with path.open("rb") as file:
        offset = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                content = json.loads(line)
                if number > 1:
                    _ = content.get(COMPLETE) or _key(content)
                elif SHARD not in content:
                    raise ValueError
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(f"{path}:{number}: is no line of predict.py --jsonl") from None
            yield offset, content
            offset += len(line)


def merge(target: Path, shards: Sequence[Path]) -> tuple[int, int]:
    """Writes the predictions of all shards of a run as one file, as predict.py --json does without shards.

    Of the lines only their places are kept in memory.

    Returns:
        Numbers of pictures (frames counted one by one) and of skipped files.

    Raises:
        InputError: shards of different runs, one that is missing, given twice or unfinished.
    """
    places = [array("q") for _ in range(4)]  # input, frame (or one of the two below), shard, offset
    abouts: list[dict[str, Any]] = []
    for number, path in enumerate(shards):
        lines = read_lines(path)
        _, about = next(lines, (0, {}))
        abouts.append(about)
        complete = False
        for offset, line in lines:
            complete |= COMPLETE in line
            if COMPLETE not in line:
                frame = FAILED if "error" in line else line.get("frame", IMAGE)
                for column, value in zip(places, (line["index"], frame, number, offset)):
                    column.append(value)
        if not complete:
            raise InputError(f"{path}: is not finished; run its command again, it goes on")
    _check_one_run(shards, abouts)
    latest = {(index, frame): (shard, offset) for index, frame, shard, offset in zip(*places)}
    found: dict[int, int] = {}  # where the last entry of an input is
    for (index, frame), (_, offset) in latest.items():
        if frame != FAILED:
            found[index] = max(offset, found.get(index, 0))
    failed = sorted(
        index for (index, frame), (_, offset) in latest.items() if frame == FAILED and offset > found.get(index, 0)
    )
    files = [path.open("rb") for path in shards]

    def line(key: tuple[int, int]) -> dict[str, Any]:
        shard, offset = latest[key]
        files[shard].seek(offset)
        content = json.loads(files[shard].readline())
        del content["index"]
        return content

    order = sorted(key for key in latest if key[1] != FAILED)
    try:
        with write_aside(target) as aside, aside.open("w", encoding="utf-8") as out:
            out.write(json.dumps({key: abouts[0][key] for key in ABOUT})[:-1] + ', "images": [')
            for number, entry in enumerate(_entries(order, line)):
                out.write((", " if number else "") + json.dumps(entry))
            skipped = [line((index, FAILED)) for index in failed]
            out.write('], "skipped": ' + json.dumps(skipped) + "}\n")
    finally:
        for file in files:
            file.close()
    return len(order), len(failed)


def _entries(order: Sequence[tuple[int, int]], line: Any) -> Iterator[dict[str, Any]]:
    """The entries of `images`: pictures as they are, the frames of a video together."""
    video: dict[str, Any] | None = None
    for place, key in enumerate(order):
        content = line(key)
        if key[1] == IMAGE:
            yield content
            continue
        file, name = content.pop("file"), content.pop("name")
        if video is None:
            video = {"file": file, "name": name, "frames": []}
        video["frames"].append(content)
        if place + 1 == len(order) or order[place + 1][0] != key[0]:
            yield video
            video = None


def _check_one_run(shards: Sequence[Path], abouts: Sequence[Mapping[str, Any]]) -> None:
    first = abouts[0]
    for path, about in zip(shards, abouts):
        different = [key for key in first if key != SHARD and about.get(key) != first[key]]
        if different:
            raise InputError(f"{path}: is of another run than {shards[0]} ({', '.join(different)})")
    given = sorted(about[SHARD] or [1, 1] for about in abouts)
    number = given[0][1]
    if given != [[place, number] for place in range(1, number + 1)]:
        there = ", ".join(f"{place}/{of}" for place, of in given)
        raise InputError(f"shards {there}: expected each of 1/{number} to {number}/{number} once")
