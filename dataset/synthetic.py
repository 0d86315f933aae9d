"""The embedded default data set: rendered scene text with exact polygons, in the layout of CTW1500."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from dataset.synthetic_scene import EASY, HARD, MIN_SIDE, STANDARD, STYLES, Style, render_image
from dataset.synthetic_text import find_fonts, font_subset
from errors import InputError

__all__ = ["EASY", "HARD", "STANDARD", "STYLES", "Style", "find_fonts", "label_line", "render_image", "write_dataset"]

GENERATOR = 1  # raise it whenever the same seed gives other images, so that an old set is not taken for a new one
DESCRIPTION = "synthetic.json"
_MAX_SIDE = 4096
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class _Plan:
    """All that a worker needs to write any one image."""

    folder: Path
    counts: tuple[int, int]
    size: tuple[int, int]
    seed: int
    fonts: tuple[list[Path], list[Path]]
    style: Style


def write_dataset(
    out: str | Path,
    train: int,
    test: int,
    size: tuple[int, int] = (640, 640),
    seed: int = 0,
    fonts: str | Path | None = None,
    workers: int = 1,
    style: Style = STANDARD,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Writes `out/{train,test}/{text_image,text_label_curve}` and a description of how they were made.

    The files depend on every argument but `workers`, `overwrite` and `progress`. They are written aside and
    renamed when complete, so `out` never holds half a set.

    Args:
        out: the root of the data set, what a CTW1500 configuration calls its root.
        train, test: numbers of images.
        size: (W, H) of every image, px.
        seed: non-negative; each image has its own generator, seeded by (seed, split, index).
        fonts: folder of font files, searched with its subfolders; None for those that matplotlib ships.
        workers: processes.
        style: how hard the images are.
        overwrite: replace a set that an earlier call wrote with other arguments.
        progress: called with (images done, images in all).

    Returns:
        True if the set was written, False if `out` already held exactly this one.

    Raises:
        InputError: an argument out of range, no usable font, or `out` holds something else.
    """
    _check(train, test, size, seed, workers)
    folder = Path(out).resolve()
    usable = find_fonts(None if fonts is None else Path(fonts))
    description = _describe(train, test, size, seed, usable, style)
    if _holds(folder, description, overwrite):
        return False
    aside = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    plan = _Plan(aside, (train, test), tuple(size), seed, _fonts_of_splits(usable, style), style)
    try:
        _make_folders(aside, out)
        for done, _ in enumerate(_written(plan, workers), 1):
            if progress:
                progress(done, train + test)
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        return _install(aside, folder, description, overwrite)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def label_line(polygon: np.ndarray) -> str:
    """(14, 2) px -> `xmin,ymin,xmax,ymax,x1,y1,...,x14,y14`: integers, points relative to (xmin, ymin)."""
    points = np.rint(polygon).astype(int)
    low, high = points.min(axis=0), points.max(axis=0)
    return ",".join(str(v) for v in [*low, *high, *(points - low).ravel()])


def _check(train: int, test: int, size: tuple[int, int], seed: int, workers: int) -> None:
    if train < 0 or test < 0 or train + test == 0:
        raise InputError(f"train={train}, test={test}: give counts of at least 0 that are not both 0")
    if not all(MIN_SIDE <= side <= _MAX_SIDE for side in size):
        raise InputError(f"size {size[0]}x{size[1]}: give a width and a height from {MIN_SIDE} to {_MAX_SIDE} px")
    if seed < 0:
        raise InputError(f"seed {seed}: give an integer of at least 0")
    if workers < 1:
        raise InputError(f"workers {workers}: give at least 1")


def _describe(train: int, test: int, size: Sequence[int], seed: int, fonts: list[Path], style: Style) -> dict:
    """What decides the bytes of the set, as JSON reads it back."""
    description = {
        "generator": GENERATOR,
        "train": train,
        "test": test,
        "size": size,
        "seed": seed,
        "style": asdict(style),
        "fonts": {f"{i:03d} {f.name}": hashlib.sha256(f.read_bytes()).hexdigest()[:16] for i, f in enumerate(fonts)},
    }
    return json.loads(json.dumps(description))


def _holds(folder: Path, description: dict, overwrite: bool) -> bool:
    """True if `folder` holds the set of `description`, False if there is room to write it.

    Raises:
        InputError: anything else is there. `overwrite` lifts that for synthetic sets only: a slip of the
            path must not cost anyone a data set that no seed brings back.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{folder}: exists and is not a synthetic data set; move it or give another folder") from None
    if found == description:
        return True
    if overwrite:
        return False
    differs = ", ".join(k for k in description if not isinstance(found, dict) or found.get(k) != description[k])
    raise InputError(
        f"{folder}: holds a synthetic data set made with another {differs}; give --overwrite or another folder"
    )


def _fonts_of_splits(fonts: list[Path], style: Style) -> tuple[list[Path], list[Path]]:
    """The fonts of the training and of the test set."""
    if not style.test_fonts:
        return fonts, fonts
    rest, held_out = font_subset(fonts, style.test_fonts)
    if not rest or not held_out:
        raise InputError(
            f"test fonts {','.join(style.test_fonts)}: match {len(held_out)} of {len(fonts)} fonts; "
            f"give patterns of file names that match some and not all, such as {fonts[0].stem}*"
        )
    return rest, held_out


def _make_folders(aside: Path, out: str | Path) -> None:
    try:
        for split in _SPLITS:
            for part in ("text_image", "text_label_curve"):
                (aside / split / part).mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out}: cannot write there ({error.strerror}); give another folder") from error


def _written(plan: _Plan, workers: int) -> Iterator[None]:
    """Writes all images of `plan`; yields once an image."""
    jobs = [(split, index) for split in range(2) for index in range(plan.counts[split])]
    workers = min(workers, len(jobs))
    if workers == 1:
        with _one_thread():
            for job in jobs:
                yield _write_image(plan, job)
        return
    # Spawned, not forked: OpenCV's and torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(32, len(jobs) // (4 * workers)))
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(partial(_write_image, plan), jobs, chunksize=chunk)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the workers have it; the images are too small for OpenCV's threads to pay."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _write_image(plan: _Plan, job: tuple[int, int]) -> None:
    split, index = job
    rng = np.random.default_rng([plan.seed, split, index])
    image, polygons = render_image(rng, plan.size, plan.fonts[split], plan.style)
    quality = int(rng.integers(45, 96))
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode a JPEG of {image.shape}")
    # As in CTW1500, the numbers of the test images go on where those of the training images end.
    name = f"{index + 1 + split * plan.counts[0]:04d}"
    folder = plan.folder / _SPLITS[split]
    (folder / "text_image" / f"{name}.jpg").write_bytes(data.tobytes())
    lines = "".join(label_line(p) + "\n" for p in polygons)
    (folder / "text_label_curve" / f"{name}.txt").write_text(lines, encoding="ascii", newline="\n")


def _install(aside: Path, folder: Path, description: dict, overwrite: bool) -> bool:
    """Renames the complete set to its place; False if another process put the same one there meanwhile."""
    if _holds(folder, description, overwrite):
        return False
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return True
