"""The files passed between the stages of multi-neck distillation: ROI descriptors with labels and origin.

A file is an .npz without pickles: `kind`, `descriptors` (N, 49) float32, `labels` (N,) int32 from 1, and `provenance`,
a JSON string.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distillation.multineck.provenance import Provenance
from distillation.multineck.roi_features import DESCRIPTOR_SIZE
from errors import InputError
from files import write_aside


@dataclass(frozen=True, eq=False)
class DescriptorSet:
    """Descriptors (N, 49) float32 of ROIs or of class centres, their labels (N,) int32, and their origin."""

    descriptors: np.ndarray
    labels: np.ndarray
    provenance: Provenance


def write_descriptors(path: str | Path, kind: str, content: DescriptorSet) -> None:
    """Writes to a temporary file, then renames it; memory-mapped arrays are not read as a whole."""
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(
            file,
            kind=np.array(kind),
            descriptors=content.descriptors,
            labels=content.labels,
            provenance=np.array(content.provenance.to_json()),
        )


def read_descriptors(path: str | Path, kind: str) -> DescriptorSet:
    """Reads a file of `write_descriptors`.

    Raises:
        InputError: the file is missing, of another kind, damaged, or has values that no stage writes.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; make the {kind} first")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("kind", "descriptors", "labels", "provenance")}
    except Exception as error:  # the reader raises many types for a damaged file
        raise InputError(f"{path}: holds no {kind}, or is damaged; make it again") from error
    if str(found["kind"]) != kind:
        raise InputError(f"{path}: holds {found['kind']}, expected {kind}")
    content = DescriptorSet(
        found["descriptors"], found["labels"], Provenance.from_json(str(found["provenance"]), source=path)
    )
    _check(content, path)
    return content


def _check(content: DescriptorSet, path: Path) -> None:
    descriptors, labels, classes = content.descriptors, content.labels, len(content.provenance.classes)
    expected = (*labels.shape[:1], DESCRIPTOR_SIZE)
    if descriptors.dtype != np.float32 or descriptors.shape != expected:
        found = f"{descriptors.dtype} {descriptors.shape}"
        raise InputError(f"{path}: descriptors are {found}, expected float32 {expected}; make it again")
    if not np.isfinite(descriptors).all():
        raise InputError(f"{path}: holds descriptors that are not finite; check the teacher and make it again")
    if labels.dtype != np.int32 or labels.ndim != 1 or not ((labels > 0) & (labels <= classes)).all():
        raise InputError(f"{path}: labels are not whole numbers from 1 to {classes}; make it again")
