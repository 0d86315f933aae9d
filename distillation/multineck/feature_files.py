"""Stage 1 of multi-neck distillation on disk: descriptors of all boxes of a training set, collected over hours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from torch import Tensor

from distillation.multineck.provenance import Provenance
from distillation.multineck.roi_features import DESCRIPTOR_SIZE
from distillation.multineck.stage_files import DescriptorSet, read_descriptors, write_descriptors
from files import write_aside

KIND = "ROI features"
_ROW = np.dtype([("descriptor", "<f4", DESCRIPTOR_SIZE), ("label", "<i4")])
_COUNT = np.dtype("<i8")


def write_features(path: str | Path, features: DescriptorSet) -> None:
    """Writes the descriptors of all boxes at once; see FeatureWriter for more than memory holds."""
    write_descriptors(path, KIND, features)


def read_features(path: str | Path) -> DescriptorSet:
    """Reads what `write_features` or a FeatureWriter wrote; InputError if it is missing, damaged or something else."""
    return read_descriptors(path, KIND)


class FeatureWriter:
    """Collects descriptors image by image. A collection that was killed is resumed where it stopped.

    Until all images are done, rows are kept in the folder `PATH.parts`, with a journal with the number of rows
    after each image. Rows are written before the journal; on resuming, rows that it does not know are cut off.

    Args:
        path: path of the final .npz file.
        provenance: provenance of the collection; it is complete after `images` images.

    Attributes:
        resume_at: number of images done, which is the index of the next one.

    Raises:
        InputError: `PATH.parts` holds a collection from another teacher or other data.
    """

    def __init__(self, path: str | Path, provenance: Provenance) -> None:
        self.path = Path(path)
        self.provenance = provenance
        self.parts = self.path.with_name(self.path.name + ".parts")
        self.parts.mkdir(parents=True, exist_ok=True)
        self._check_parts()
        self._rows = (self.parts / "rows.bin").open("ab")
        self._journal = (self.parts / "journal.bin").open("ab")
        counts = np.fromfile(self.parts / "journal.bin", _COUNT)
        counts = counts[counts <= self._rows.tell() // _ROW.itemsize]
        self.resume_at = len(counts)
        self._count = int(counts[-1]) if len(counts) else 0
        self._rows.truncate(self._count * _ROW.itemsize)
        self._journal.truncate(self.resume_at * _COUNT.itemsize)

    def _check_parts(self) -> None:
        about = self.parts / "provenance.json"
        if about.is_file():
            kept = Provenance.from_json(about.read_text("utf-8"), about)
            kept.match(self.provenance, about, remedy=f"remove {self.parts} to collect anew")
        else:
            with write_aside(about) as aside:
                aside.write_text(self.provenance.to_json(), "utf-8")

    def add(self, image_index: int, descriptors: Tensor, labels: Tensor) -> None:
        """Appends the boxes of one image, descriptors (n, 49) and labels (n,); n may be 0.

        Raises:
            ValueError: `image_index` is not that of the next image.
        """
        if image_index != self.resume_at:
            raise ValueError(f"image {image_index} given, {self.resume_at} is next")
        rows = np.empty(len(labels), _ROW)
        rows["descriptor"], rows["label"] = descriptors.cpu().numpy(), labels.cpu().numpy()
        self._count += len(rows)
        for file, content in ((self._rows, rows), (self._journal, np.array(self._count, _COUNT))):
            try:
                file.write(content.tobytes())
                file.flush()
            except OSError as error:  # a full disk
                error.filename = file.name
                raise
        self.resume_at += 1

    def close(self) -> None:
        """Makes the .npz and removes the parts if every image is done; otherwise leaves the parts for the next run."""
        self._rows.close()
        self._journal.close()
        if self.resume_at < self.provenance.images:
            return
        # An empty file cannot be mapped into memory.
        rows = np.memmap(self.parts / "rows.bin", _ROW, "r") if self._count else np.empty(0, _ROW)
        write_features(self.path, DescriptorSet(rows["descriptor"], rows["label"], self.provenance))
        del rows
        shutil.rmtree(self.parts)

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
