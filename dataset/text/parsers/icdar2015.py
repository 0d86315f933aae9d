"""ICDAR 2015 incidental scene text: words as quadrilaterals."""

from __future__ import annotations

import re
from pathlib import Path

from annotations import Instance, icdar2015
from dataset.registry import PARSERS
from dataset.text.parsers.base import FilePairParser, annotation_of, list_images
from errors import InputError
from files import read_text

STRIDE = 10
VALIDATION, TUNING = 0, 5
PARTS = {  # of the training images, by the remainders of their numbers
    "train_part": set(range(STRIDE)) - {VALIDATION},
    "validation": {VALIDATION},
    "tuning_part": set(range(STRIDE)) - {VALIDATION, TUNING},
    "tuning": {TUNING},
}


@PARSERS.register_module()
class ICDAR2015(FilePairParser):
    """1000 training and 500 test images.

    `data/ICDAR2015/Challenge4/ch4_{training,test}_images/img_N.jpg` with
    `ch4_{training,test}_localization_transcription_gt/gt_img_N.txt`. The transcription `###` means ignore.
    Labels of MLT, of RCTW-17 and with polygons are read, too: see annotations.icdar2015.

    For model selection, use `validation` instead of the test set: the 100 training images whose N is divisible by
    10; `train_part` holds the other 900. To choose settings that are then compared on `validation`: `tuning`, those
    whose N ends in 5, and `tuning_part`, the 800 that are in neither.
    """

    splits = ("train", "test", *PARTS)

    def list_split(self) -> list[tuple[Path, Path]]:
        images = list_images(self.root, self._folder("images"))
        if self.split in PARTS:
            images = [image for image in images if _remainder(image) in PARTS[self.split]]
        return [(image, annotation_of(image, self.ground_truth, f"gt_{image.stem}.txt")) for image in images]

    @staticmethod
    def read(annotation: Path) -> list[Instance]:
        return icdar2015.parse(read_text(annotation), str(annotation))

    @property
    def ground_truth(self) -> Path:
        """Folder of the split; for parts of the training images, that of all of them."""
        return self._folder("localization_transcription_gt")

    def _folder(self, name: str) -> Path:
        part = "test" if self.split == "test" else "training"
        return self.root / "Challenge4" / f"ch4_{part}_{name}"


def _remainder(image: Path) -> int:
    number = re.fullmatch(r"img_(\d+)", image.stem, re.ASCII)
    if number is None:
        raise InputError(f"{image}: is not named img_N, which decides the part it is in; rename or remove it")
    return int(number[1]) % STRIDE
