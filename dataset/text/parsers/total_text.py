"""Total-Text: horizontal, multi-oriented and curved words."""

from __future__ import annotations

from pathlib import Path

from annotations import Instance, total_text
from dataset.registry import PARSERS
from dataset.text.parsers.base import FilePairParser, annotation_of, list_images
from files import read_bytes, read_text


@PARSERS.register_module()
class TotalText(FilePairParser):
    """1255 training and 300 test images.

    `data/total_text/Images/{Train,Test}/NAME.jpg` with `Groundtruth/Polygon/{Train,Test}/poly_gt_NAME.mat` or
    `poly_gt_NAME.txt`, not both; the refined labels are called `gt_NAME.mat`. An instance with the transcription `#`
    is ignored in training; the evaluation protocol has a rule of its own.
    """

    default_ignore_labels = ("#",)

    def list_split(self) -> list[tuple[Path, Path]]:
        images = list_images(self.root, self.root / "Images" / self.split.capitalize())
        names = ("poly_gt_{}.mat", "poly_gt_{}.txt", "gt_{}.mat", "gt_{}.txt")
        return [(i, annotation_of(i, self.ground_truth, *(name.format(i.stem) for name in names))) for i in images]

    @staticmethod
    def read(annotation: Path) -> list[Instance]:
        if annotation.suffix.lower() == ".mat":
            return total_text.parse_mat(read_bytes(annotation), str(annotation))
        return total_text.parse_text(read_text(annotation), str(annotation))

    @property
    def ground_truth(self) -> Path:
        return self.root / "Groundtruth" / "Polygon" / self.split.capitalize()
