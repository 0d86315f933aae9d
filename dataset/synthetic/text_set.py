"""The embedded default data set: rendered scene text with exact polygons, in the layout of CTW1500."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from dataset.synthetic.files import check_request, run_jobs, write_set
from dataset.synthetic.scene import EASY, HARD, MIN_SIDE, STANDARD, STYLES, Style, render_image
from dataset.synthetic.text import find_fonts, font_subset
from errors import InputError

__all__ = ["EASY", "HARD", "STANDARD", "STYLES", "Style", "find_fonts", "label_line", "render_image", "write_dataset"]

GENERATOR = 1  # raise it whenever the same seed gives other images, so that an old set is not taken for a new one
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class _Plan:
    """Parameters that a worker needs to write any one image."""

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
        out: the root of the data set, as `data.root` of a CTW1500 configuration.
        train, test: numbers of images.
        size: (W, H) of every image, px.
        seed: non-negative; each image has its own generator, seeded by (seed, split, index).
        fonts: folder of font files, searched with its subfolders; None for those that matplotlib ships.
        workers: processes.
        style: difficulty of the images.
        overwrite: replace a set that an earlier call wrote with other arguments.
        progress: called with (images done, images in all).

    Returns:
        True if the set was written, False if `out` already held exactly this one.

    Raises:
        InputError: an argument out of range, no usable font, or `out` holds something else.
    """
    check_request({"train": train, "test": test}, size, MIN_SIDE, seed, workers)
    usable = find_fonts(None if fonts is None else Path(fonts))
    splits = _fonts_of_splits(usable, style)

    def write(folder: Path) -> None:
        plan = _Plan(folder, (train, test), tuple(size), seed, splits, style)
        for part in ("text_image", "text_label_curve"):
            for split in _SPLITS:
                (folder / split / part).mkdir(parents=True)
        jobs = [(split, index) for split in range(2) for index in range(plan.counts[split])]
        for done, _ in enumerate(run_jobs(partial(_write_image, plan), jobs, workers), 1):
            if progress:
                progress(done, train + test)

    return write_set(out, _describe(train, test, size, seed, usable, style), write, overwrite)


def label_line(polygon: np.ndarray) -> str:
    """(14, 2) px -> `xmin,ymin,xmax,ymax,x1,y1,...,x14,y14`: integers, points relative to (xmin, ymin)."""
    points = np.rint(polygon).astype(int)
    low, high = points.min(axis=0), points.max(axis=0)
    return ",".join(str(v) for v in [*low, *high, *(points - low).ravel()])


def _describe(train: int, test: int, size: Sequence[int], seed: int, fonts: list[Path], style: Style) -> dict:
    """All parameters that determine the bytes of the set."""
    return {
        "generator": GENERATOR,
        "train": train,
        "test": test,
        "size": size,
        "seed": seed,
        "style": asdict(style),
        "fonts": {f"{i:03d} {f.name}": hashlib.sha256(f.read_bytes()).hexdigest()[:16] for i, f in enumerate(fonts)},
    }


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
