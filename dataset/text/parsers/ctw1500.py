"""CTW1500: curved text, 14 points per instance."""

from __future__ import annotations

from pathlib import Path

from annotations import Instance, ctw1500
from dataset.registry import PARSERS
from dataset.text.parsers.base import FilePairParser, annotation_of, list_images
from files import read_text


@PARSERS.register_module()
class CTW1500(FilePairParser):
    """1000 training and 500 test images.

    `data/ctw1500/{train,test}/text_image/NAME.jpg` (.jpeg, .png; any case) with `text_label_curve/NAME.txt`.
    The labels have no ignore flag, but those made for text spotting write the transcription `###` for it.
    """

    def list_split(self) -> list[tuple[Path, Path]]:
        images = list_images(self.root, self.root / self.split / "text_image")
        return [(image, annotation_of(image, self.ground_truth, image.stem + ".txt")) for image in images]

    @staticmethod
    def read(annotation: Path) -> list[Instance]:
        return ctw1500.parse(read_text(annotation), str(annotation))

    @property
    def ground_truth(self) -> Path:
        return self.root / self.split / "text_label_curve"
