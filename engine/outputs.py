"""Where a command writes: looked at before any work, so that neither data nor hours are lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from errors import InputError


def data_places(data: Mapping[str, Any], *datasets: Any) -> list[Path]:
    """Folders and files that data sets are read from: roots, labels, and where the first image lies.

    Args:
        data: the `data` section of a config.
        datasets: TextDataset or CocoDataset; what is None is passed over.
    """
    roots = [data.get("root"), *(data[split].get("root") for split in ("train", "test") if data.get(split))]
    # A root that holds the whole working folder, '.' for one, is no folder of data alone.
    places = [Path(root) for root in roots if root and not Path.cwd().is_relative_to(Path(root).resolve())]
    for dataset in datasets:
        if dataset is not None:
            places.append(getattr(dataset, "parser", dataset).ground_truth)
            places += [image.parent for image in _first_image(dataset)]
    return places


def _first_image(dataset: Any) -> Iterator[Path]:
    if len(dataset):
        yield dataset.image_path(0)
        yield dataset.image_path(0).resolve()  # images may be links


def check_output(field: str, path: str | Path, inputs: Iterable[str | Path] = (), folder: bool = True) -> None:
    """Checks a place that a command is going to write to.

    Args:
        field: what named the place, for messages.
        path: of a folder, or of a file.
        inputs: folders and files that the command, or any later one, reads; links are followed.
        folder: whether `path` is a folder.

    Raises:
        InputError: the place is one of the inputs, holds one or lies in one, or cannot be written.
    """
    place = Path(path).resolve()
    for one in map(Path, inputs):
        own = one.resolve()
        if place == own or own in place.parents or (folder and place in own.parents):
            how = "is" if place == own else "lies in" if own in place.parents else "holds"
            raise InputError(
                f"{field} {path}: {how} {one}, which data are read from and would be lost; name another place"
            )
    existing = next(p for p in (place, *place.parents) if p.exists())
    if (folder != existing.is_dir() and existing == place) or (existing != place and not existing.is_dir()):
        kind = "a folder" if existing.is_dir() else "a file"
        raise InputError(f"{field} {path}: {existing} is {kind} (Not a directory); name another place")
    try:
        with tempfile.TemporaryFile(dir=existing if existing.is_dir() else existing.parent):
            pass
    except OSError as error:
        raise InputError(f"{field} {path}: cannot be written: {error.strerror}; name another place") from error
