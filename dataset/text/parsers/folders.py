"""Images and annotation files in the folders of a data set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePath

from errors import InputError
from files import IMAGE_SUFFIXES, composed, is_hidden

logger = logging.getLogger(__name__)

ELSEWHERE = "point elsewhere with --cfg-options data.root=PATH or in the config, field data.root"

_LABELS = (".txt", ".gt", ".mat", ".xml", ".json", ".csv", ".md")  # labels that may lie beside images


def require_folders(root: Path, *folders: Path) -> None:
    """Checks that the data root and folders in it exist.

    Raises:
        InputError: the message names the first missing folder.
    """
    missing = next((path for path in (root, *folders) if not path.is_dir()), None)
    if missing is not None:
        raise InputError(f"data root {root}: no folder {missing.absolute()}; put the data there, or {ELSEWHERE}")


def list_images(root: Path, folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The images in a folder of the data root, by name; suffixes in any case, hidden files are skipped.

    Files of other kinds are skipped, too, and named in the log, unless they are labels.

    Raises:
        InputError: the root or the folder is missing, holds no image, or holds two images of the same stem
            (results are written under the stem).
    """
    require_folders(root, folder)
    files = sorted((path for paths in listing(folder) for path in paths), key=lambda p: p.name)
    images = [p for p in files if p.suffix.lower() in suffixes]
    others = Counter(p.suffix.lower() or p.name for p in files if p.suffix.lower() not in (*suffixes, *_LABELS))
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not images:
        kinds, there = " ".join(suffixes), f" (there is {listed})" if listed else ""
        raise InputError(
            f"data root {root}: no image ({kinds}) in {folder.absolute()}{there}; put some there, or {ELSEWHERE}"
        )
    if others:
        logger.warning("%s: files that are read as no image passed over: %s", folder, listed)
    stems: dict[str, Path] = {}
    for image in images:
        other = stems.setdefault(composed(image.stem), image)
        if other is not image:
            raise InputError(f"{image}: has the same name as {other.name}; rename or remove one of them")
    return images


def annotation_of(image: Path, folder: Path, *names: str) -> Path:
    """Returns the annotation file of an image: the only existing one of `names`, with the suffix in any case.

    Accents in names may be composed or decomposed.

    Raises:
        InputError: none or several of them exist.
    """
    files = listing(folder).by_name
    there = [path for name in names for path in files.get(_key(name), ())]
    if len(there) == 1:
        return there[0]
    if there:
        raise InputError(f"{there[0]}: stands beside {there[1].name}; keep one annotation file for each image")
    missing = " or ".join([str(folder / names[0]), *names[1:]])
    raise InputError(f"{image}: has no annotation file {missing}; add it (it may be empty) or remove the image")


class _Listing:
    """The files of a folder that are not hidden, by `_key`."""

    def __init__(self, folder: Path) -> None:
        self.by_name: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not is_hidden(path.name) and not path.is_dir():
                self.by_name.setdefault(_key(path.name), []).append(path)

    def __iter__(self) -> Iterator[list[Path]]:
        return iter(self.by_name.values())


def _key(name: str) -> str:
    """Key that equivalent spellings of a file name share."""
    suffix = PurePath(name).suffix
    return composed(name[: len(name) - len(suffix)]) + suffix.lower()


def listing(folder: Path) -> _Listing:
    """Visible files of a folder, as lists of those whose names differ at most in the case of the suffix."""
    return _listing_of(folder, folder.stat().st_mtime_ns if folder.is_dir() else 0)


@lru_cache(maxsize=4)
def _listing_of(folder: Path, time: int) -> _Listing:
    """`time`: last change of the folder; a new value invalidates the cached listing."""
    return _Listing(folder)
