"""MSRA-TD500 and HUST-TR400: text lines as rotated boxes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from annotations import Instance, msra_td500
from dataset.registry import PARSERS
from dataset.text.parsers.base import FilePairParser, annotation_of, list_images
from errors import InputError
from files import read_text

logger = logging.getLogger(__name__)


@PARSERS.register_module()
class MSRATD500(FilePairParser):
    """300 training and 200 test images, and the 400 of HUST-TR400 for training.

    `data/MSRA-TD500/{train,test}/NAME.JPG` and `data/HUST-TR400/NAME.jpg`, each with `NAME.gt` beside it.

    Args:
        root: folder as in `data.root`: `data/MSRA-TD500`.
        split: 'train' or 'test'.
        hust: folder of HUST-TR400, which joins the training split. By default `HUST-TR400` beside the root, if
            there is such a folder; the log says which.
        difficult_as_text: train on instances marked as difficult, as published code does, instead of ignoring
            them.

    Raises:
        InputError: as TextParser.
    """

    default_ignore_labels = ()

    def __init__(
        self, root: Path | str, split: str, hust: Path | str | None = None, difficult_as_text: bool = False
    ) -> None:
        self.hust, self.difficult_as_text = hust, difficult_as_text
        super().__init__(root, split)

    def list_split(self) -> list[tuple[Path, Path]]:
        images = list_images(self.root, self.ground_truth)
        if self.split == "train":
            images += self._hust_images()
        return [(image, annotation_of(image, image.parent, image.stem + ".gt")) for image in images]

    def _hust_images(self) -> list[Path]:
        beside = Path(os.path.abspath(self.root)).with_name("HUST-TR400")
        folder = beside if self.hust is None else Path(self.hust)
        if self.hust is None and not folder.is_dir():
            logger.info("%s: without HUST-TR400, as there is no folder %s", self.issues.source, folder)
            return []
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; set data.train.hust to that of HUST-TR400, or leave it out")
        images = list_images(folder, folder)
        logger.info("%s: with %d images of HUST-TR400 in %s", self.issues.source, len(images), folder)
        return images

    @staticmethod
    def read(annotation: Path) -> list[Instance]:
        return msra_td500.parse(read_text(annotation), str(annotation))

    def ignores(self, instance: Instance) -> bool:
        return instance.difficult and not self.difficult_as_text

    @property
    def ground_truth(self) -> Path:
        """Folder of annotations and images; without HUST-TR400, which is for training only."""
        return self.root / self.split
