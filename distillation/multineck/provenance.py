"""Teacher, classes and data that a file of multi-neck distillation was made from, checked against those of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from errors import InputError

_REMEDY = "run the stages 'collect' and 'cluster' for this run's teacher and data, or name the files made from them"


@dataclass(frozen=True)
class Provenance:
    """Teacher, classes, data and settings that descriptors were made from.

    Attributes:
        teacher: path of the teacher's checkpoint, for messages; only the hash is compared.
        teacher_sha256: hash of its tensors, see tensors_sha256.
        classes: names in the order of the labels, which begin at 1.
        annotation: path of the annotation file, for messages; only the hash is compared.
        annotation_sha256: hash of that file.
        images: number of images processed.
        images_sha256: hash of their files, see files_sha256.
        settings: settings of images and descriptors (sizes, top_channels); values that JSON can hold.
    """

    teacher: str
    teacher_sha256: str
    classes: tuple[str, ...]
    annotation: str
    annotation_sha256: str
    images: int
    images_sha256: str
    settings: Mapping[str, Any]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> Provenance:
        """Reads the output of `to_json`; InputError, naming `source`, for anything else."""
        try:
            values = json.loads(text)
            return cls(**{**values, "classes": tuple(values["classes"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{source}: its provenance cannot be read ({error}); collect it again") from error

    def match(self, expected: Provenance, source: str | Path, remedy: str = _REMEDY) -> None:
        """Refuses a file made from something else.

        Args:
            expected: provenance of the run that reads the file.
            source: path of the file that holds this provenance, for messages.
            remedy: advice to the user, for messages.

        Raises:
            InputError: names the value in the file, and the expected one.
        """
        check_same_classes({str(source): self.classes, "this run": expected.classes})
        wanted = expected._facts()
        for what, (key, shown) in self._facts().items():
            if key != wanted[what][0]:
                raise InputError(f"{source}: its {what}: {shown}; expected: {wanted[what][1]}; {remedy}")

    def _facts(self) -> dict[str, tuple[str, str]]:
        """Facts that must agree, by name: the value that is compared, and the value that is shown."""
        settings = json.dumps(dict(self.settings), sort_keys=True)
        return {
            "teacher": (self.teacher_sha256, f"{self.teacher} (tensors {self.teacher_sha256[:12]})"),
            "data": (self.annotation_sha256, f"{self.annotation} (sha256 {self.annotation_sha256[:12]})"),
            "images": (str(self.images), str(self.images)),
            "image files": (self.images_sha256, f"sha256 {self.images_sha256[:12]}"),
            "settings": (settings, settings),
        }


def check_same_classes(owners: Mapping[str, Sequence[str]]) -> None:
    """Refuses networks, files and data sets whose labels have different meanings.

    Args:
        owners: class names in the order of labels, by their owner, for example `{"teacher 1": ..., "the data": ...}`.

    Raises:
        InputError: names two owners and the first label at which they differ.
    """
    (first, names), *others = owners.items()
    for owner, own in others:
        for label, pair in enumerate(zip(own, names), 1):
            if pair[0] != pair[1]:
                raise InputError(
                    f"{owner}: class {label} is '{pair[0]}', but '{pair[1]}' for {first}; use one class list"
                )
        if len(own) != len(names):
            raise InputError(f"{owner}: has {len(own)} classes, {first} has {len(names)}; use one class list")


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash of a state dict: of names, types, shapes and values, regardless of the file format."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
