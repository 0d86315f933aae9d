"""What a score depends on: as long as none of it changes, a score that is on disk need not be measured again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from files import files_sha256

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("annotations", "dataset", "distillation", "engine", "eval", "models", "post_processing")
CODE = (".py", ".pyx", ".hpp", ".so", ".pyd")
LIBRARIES = (
    "faster-coco-eval", "lightning", "numpy", "opencv-python", "pyclipper", "shapely", "timm", "torch", "torchvision",
)  # fmt: skip


def score_key(dataset: Dataset, images: Sequence[int], *settings: Any) -> str:
    """Hash of all that scores depend on but the checkpoint, by content: files may be moved, copied and touched.

    Args:
        dataset: the test split; its labels are looked at whole.
        images: which of its images are taken.
        settings: everything else that decides a score; what `repr` tells apart.
    """
    labels = getattr(dataset, "parser", dataset).ground_truth
    files = sorted(p for p in labels.iterdir() if p.is_file()) if labels.is_dir() else [labels]
    data = [images, files_sha256(files), files_sha256(map(dataset.image_path, images))]
    return hashlib.sha256(repr([data, _code(), settings]).encode()).hexdigest()


@cache
def _code() -> list[str]:
    """This project's, and the versions of the libraries that decide a score."""
    files = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*")) if p.suffix in CODE]
    files += [ROOT / name for name in ("errors.py", "files.py", "keywords.py")]
    return [files_sha256(files), *map(_version, LIBRARIES)]


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:  # another build of it, under another name
        return library
