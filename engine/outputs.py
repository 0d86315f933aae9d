"""Input places that a command must not overwrite, and results that are kept after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.settings import DataSettings
from errors import InputError

_LOOKED_AT = 1000  # images of a data set whose folders and link targets are collected


def data_places(data: DataSettings, *datasets: Any) -> list[Path]:
    """Folders and files that data sets are read from: roots, labels and images.

    Args:
        data: the `data` section of a config.
        datasets: TextDataset or CocoDataset; None is skipped.
    """
    splits = [split for split in (data.train, data.test) if split]
    roots = [data.root, *(split.root for split in splits)]
    # A root that contains the working folder, such as '.', does not hold data only.
    places = [Path(root) for root in roots if not Path.cwd().is_relative_to(Path(root).resolve())]
    for split in splits:  # annotations and images, which need not lie in the root
        named = [split.root / value for value in split.options.values() if isinstance(value, str)]
        places += [place for place in named if place.exists() and not Path.cwd().is_relative_to(place.resolve())]
    for dataset in datasets:
        if dataset is not None:
            with suppress(InputError):  # SynthText has no separate place for labels
                places.append(getattr(dataset, "parser", dataset).ground_truth)
            places += dict.fromkeys(_folders(dataset))
    return places


def _folders(dataset: Any) -> Iterator[Path]:
    for index in range(0, len(dataset), 1 + len(dataset) // _LOOKED_AT):
        path = dataset.image_path(index)
        yield path.parent
        if path.is_symlink():
            yield path.resolve().parent


@contextmanager
def kept(path: str | Path) -> Iterator[None]:
    """Adds the path of the detections, which took hours, to an error of the scoring."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; what was detected is kept in {path}") from error
