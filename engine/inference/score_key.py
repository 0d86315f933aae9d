"""Key of a score: a score on disk with the same key need not be measured again."""

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
    """Hash of the content of everything that scores depend on, except the checkpoint: files may be moved or touched.

    Args:
        dataset: the test split; all of its labels are hashed.
        images: indices of the images that are scored.
        settings: everything else that decides a score, hashed by its `repr`.
    """
    labels = getattr(dataset, "parser", dataset).ground_truth
    files = sorted(p for p in labels.iterdir() if p.is_file()) if labels.is_dir() else [labels]
    data = [images, files_sha256(files), files_sha256(map(dataset.image_path, images))]
    return hashlib.sha256(repr([data, _code(), settings]).encode()).hexdigest()


@cache
def _code() -> list[str]:
    """Code of this project, and versions of the libraries that decide a score."""
    files = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*")) if p.suffix in CODE]
    files += [ROOT / name for name in ("errors.py", "files.py", "keywords.py")]
    return [files_sha256(files), *map(_version, LIBRARIES)]


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:  # another build of the library, under another name
        return library
