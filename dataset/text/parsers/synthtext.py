"""SynthText: 858750 images with rendered words, for pre-training."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from annotations.synthtext import read_mat
from dataset.registry import PARSERS
from dataset.text.parsers.base import ELSEWHERE, TextParser, require_folders
from dataset.text.parsers.synthtext_index import SynthTextIndex, open_index, write_index
from dataset.text.records import TextRecord
from errors import InputError

logger = logging.getLogger(__name__)


@PARSERS.register_module()
class SynthText(TextParser):
    """`data/SynthText/gt.mat` with images in numbered folders beside it.

    The first use takes a minute or more, and some GB of memory, to make an index of `gt.mat`; later ones map
    that into memory. It is rebuilt when the size or modification time of `gt.mat` changes.

    Args:
        root: folder as in `data.root`: `data/SynthText`.
        split: 'train'.
        cache: folder of the index, `gt.mat.index`. By default the data root.

    Raises:
        InputError: as TextParser; or the index cannot be written.
    """

    splits = ("train",)

    def __init__(self, root: Path | str, split: str, cache: Path | str | None = None) -> None:
        super().__init__(root, split)
        require_folders(self.root)
        self._index = self._open(self.root / "gt.mat", self.root if cache is None else Path(cache))
        if not len(self._index):
            raise InputError(f"{self.root / 'gt.mat'}: holds no image; restore it from the data set")
        require_folders(self.root, self[0].image_path.parent)  # too many files to check each one
        for kind, (count, where) in self._index.issues.items():
            for _ in range(count):
                self.issues.add(kind, where)
        self.issues.log()

    def _open(self, mat: Path, folder: Path) -> SynthTextIndex:
        if not mat.is_file():
            raise InputError(f"data root {self.root}: no file {mat.absolute()}; put it there, or {ELSEWHERE}")
        path, stat = folder / "gt.mat.index", mat.stat()
        stamp = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        index = open_index(path, stamp)
        if index is None:
            logger.info("%s: making the index %s, once; this takes a minute or more", self.issues.source, path)
            try:
                write_index(path, read_mat(mat), stamp)
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be written ({error.strerror}); set data.train.cache to a folder that can"
                ) from error
            index = SynthTextIndex(path)
        return index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> TextRecord:
        image = self._index[index]
        return TextRecord(self.root / image.name, list(image.boxes), np.zeros(len(image.boxes), bool), image.words)

    def instance_counts(self) -> tuple[int, int]:
        return self._index.instances, 0

    @property
    def ground_truth(self) -> Path:
        raise InputError("SynthText has no evaluation protocol; set data.test to the test split of another data set")
