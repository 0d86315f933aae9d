"""Object detection data in COCO format, for training and for testing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from annotations.coco import CocoAnnotations, read_coco
from annotations.coco_masks import rasterise
from dataset.image_dataset import MAX_UNREADABLE, UNREADABLE, ImageDataset
from dataset.images import UnreadableImage, read_image
from dataset.issues import DataIssues, SampleIssues
from dataset.objects.records import ObjectRecord
from dataset.objects.transforms import ObjectTestTransform, ObjectTrainTransform
from dataset.split import Split, make_split
from errors import InputError

CLIPPED = "boxes that reach out of their image by a pixel or more clipped"
APART = "objects whose mask lies beside their box left out"
EMPTY = "boxes without area inside their image left out"
THIN = "boxes thinner than a hundredth of a pixel, once resized, left out"
MISSING = "missing images left out"
MIN_SIDE = 0.01  # pixels


class CocoDataset(ImageDataset):
    """Images with boxes: `dataset[(epoch, index)]`, or `dataset[index]` for epoch 0; see ImageDataset.

    Crowd regions are left out. Boxes are clipped to the image; boxes without area there are left out and counted.
    Missing image files stop the run; in training they are left out instead if they are at most 1 %.

    Args:
        root: base folder of the next two arguments, as in `data.root`.
        annotations: instances file.
        images: folder of the images.
        transform: function from an image, an ObjectRecord and a random generator to a sample.
        seed: of the augmentation, >= 0.
        with_masks: load masks into the samples.
        skip_empty: leave out images without a box; None: in training only.

    Attributes:
        classes: C names in the order of the labels 1..C.
        category_ids: C ids of the annotation file, ascending: label l is `category_ids[l - 1]`.
        ground_truth: the annotation file, as the evaluation reads it.

    Raises:
        InputError: the annotations are wrong (see annotations.coco.read_coco), images are missing, there is no
            image, or, in training, no box.
    """

    def __init__(
        self,
        root: Path | str,
        annotations: str,
        images: str,
        transform: ObjectTrainTransform | ObjectTestTransform,
        seed: int = 0,
        with_masks: bool = False,
        skip_empty: bool | None = None,
    ) -> None:
        self.ground_truth, self._folder = Path(root) / annotations, Path(root) / images
        self._annotations = read_coco(self.ground_truth, with_masks)
        self.classes, self.category_ids = self._annotations.classes, self._annotations.category_ids
        source = f"COCO {self.ground_truth.name}"
        issues = DataIssues(source)
        self._boxes, kept = _usable_boxes(self._annotations, transform, issues)
        if with_masks:
            kept = _with_mask(self._annotations, self._boxes, kept, issues)
        of_image = self._annotations.image_index[kept]
        counts = np.bincount(of_image, minlength=len(self._annotations.image_ids))
        self._by_image, self._first = kept[np.argsort(of_image, kind="stable")], np.cumsum([0, *counts])
        present = _present(self._annotations, self._folder, transform.training, issues)
        skip_empty = transform.training if skip_empty is None else skip_empty
        self._images = np.flatnonzero(present & (counts > 0) if skip_empty else present)
        issues.log()
        if not len(self._images) or (transform.training and not counts[present].any()):
            lacks = "no box to train on" if transform.training else "no image"
            why = "".join(f"; {count} {kind}" for kind, count in issues.counts.items())
            raise InputError(f"{self.ground_truth}: has {lacks}{why}; give another file, field annotations")
        super().__init__(transform, seed, SampleIssues(source, len(self), (UNREADABLE,)), issues.counts)

    def instance_counts(self) -> tuple[int, int]:
        image_index = self._annotations.image_index[self._annotations.crowd]
        boxes = sum(int(self._first[i + 1] - self._first[i]) for i in self._images)
        crowds = int(np.isin(image_index, self._images).sum())
        return boxes + crowds, crowds

    def __len__(self) -> int:
        return len(self._images)

    def image_path(self, index: int) -> Path:
        return self._folder / self._annotations.file_names[self._images[index]]

    def boxes_of(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The objects of an image, without opening it: boxes (n, 4) float32 x1, y1, x2, y2, labels (n,) int64."""
        rows = self._rows(index)
        return self._boxes[rows], self._annotations.labels[rows]

    def record(self, index: int) -> ObjectRecord:
        """Annotation of an image, without masks; the image is not opened."""
        image = self._images[index]
        name = str(PurePosixPath(self._annotations.file_names[image]).with_suffix(""))
        image_id = int(self._annotations.image_ids[image])
        return ObjectRecord(self.image_path(index), image_id, name, *self.boxes_of(index))

    def read(self, index: int) -> tuple[np.ndarray, ObjectRecord]:
        record = self.record(index)
        image = read_image(record.image_path)
        size = self._annotations.image_sizes[self._images[index]].tolist()
        if list(image.shape[:2]) != size:
            (h, w), (h0, w0) = image.shape[:2], size
            raise UnreadableImage(
                f"{record.image_path}: is {w}x{h} pixels where {self.ground_truth} says {w0}x{h0}; "
                "put the image there that was annotated"
            )
        if self._annotations.segmentations is not None:
            record = replace(record, masks=self._masks(index, image.shape[:2]))
        return image, record

    def _rows(self, index: int) -> np.ndarray:
        """Indices of an image's annotations used in training, in file order."""
        image = self._images[index]
        return self._by_image[self._first[image] : self._first[image + 1]]

    def _masks(self, index: int, size: tuple[int, int]) -> np.ndarray:
        rows = self._rows(index)
        masks = np.zeros((len(rows), *size), np.uint8)
        for mask, row in zip(masks, rows):
            mask[:] = rasterise(self._annotations.segmentations[row], size, self._annotations.where(row))
        return masks


def _usable_boxes(
    annotations: CocoAnnotations, transform: ObjectTrainTransform | ObjectTestTransform, issues: DataIssues
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) float32 x1, y1, x2, y2 clipped to their image, and the ascending indices of those to learn.

    The size at the network input decides: a box thinner than MIN_SIDE after resizing may have no width at all after
    the flip, which rounds.
    """
    sizes = annotations.image_sizes[annotations.image_index]  # (n, 2)
    corners = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1)
    clipped = np.clip(corners, 0, sizes[:, [1, 0, 1, 0]])
    boxes = clipped.astype(np.float32)
    has_area = (annotations.boxes[:, 2:] > 0).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    factors = transform.smallest_factor(annotations.image_sizes)[annotations.image_index]
    visible = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) * factors >= MIN_SIDE
    fractions = (np.abs(annotations.boxes) <= 1).all(axis=1)
    reaches_out = (np.abs(clipped - corners) >= 1).any(axis=1)
    learnt = ~annotations.crowd
    if learnt.any() and fractions[learnt].all() and (annotations.boxes[learnt] % 1).any():
        raise InputError(
            f"{annotations.path}: all boxes lie within 0..1, as fractions of the image's sides do; write bbox in pixels"
        )
    for kind, met in ((EMPTY, ~has_area), (THIN, has_area & ~visible), (CLIPPED, has_area & visible & reaches_out)):
        for i in np.flatnonzero(met & learnt):
            issues.add(kind, annotations.where(i))
    return boxes, np.flatnonzero(has_area & visible & learnt)


def _with_mask(annotations: CocoAnnotations, boxes: np.ndarray, kept: np.ndarray, issues: DataIssues) -> np.ndarray:
    """Filters `kept` to objects whose mask reaches their box; run-length masks pass, since they are not decoded yet."""

    def reaches(row: int) -> bool:
        mask = annotations.segmentations[row]
        if not isinstance(mask, list):
            return True
        points = np.concatenate([np.asarray(ring, float) for ring in mask]).reshape(-1, 2)
        return bool((points.min(0) < boxes[row, 2:]).all() and (points.max(0) > boxes[row, :2]).all())

    inside = np.array([reaches(row) for row in kept], bool)
    for row in kept[~inside]:
        issues.add(APART, annotations.where(row))
    return kept[inside]


def _present(annotations: CocoAnnotations, folder: Path, training: bool, issues: DataIssues) -> np.ndarray:
    """(m,) bool, True where the image file exists. Lists folders, which is faster than one query per file."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of images; correct data.root or the field images")
    listed = {parent: _listing(folder / parent) for parent in {os.path.dirname(n) for n in annotations.file_names}}
    present = np.array([os.path.basename(n) in listed[os.path.dirname(n)] for n in annotations.file_names], bool)
    missing = np.flatnonzero(~present)
    if len(missing) > (MAX_UNREADABLE * len(present) if training else 0):
        raise InputError(
            f"{annotations.path}: {len(missing)} of {len(present)} images are not in {folder}, the first: "
            f"{annotations.file_names[missing[0]]}; put them there, or correct data.root or the field images"
        )
    for i in missing:
        issues.add(MISSING, str(folder / annotations.file_names[i]))
    return present


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def object_split(section: Mapping[str, Any], root: Path | str, training: bool) -> Split:
    """The split that `data.train` or `data.test` of a config describes; nothing is read yet.

    Args:
        section: `type`, which is 'COCO'; `annotations` and `images`, as CocoDataset takes them; further keywords of
            CocoDataset and of ObjectTrainTransform or ObjectTestTransform; `root`, for a split stored apart from
            the rest.
        root: `data.root`.
        training: use ObjectTrainTransform instead of ObjectTestTransform.

    Raises:
        InputError: unknown type or key, or an invalid value.
    """
    field = "data.train" if training else "data.test"
    options = dict(section)
    kind = options.pop("type", None)
    if kind != "COCO":
        raise InputError(f"{field}.type is {kind!r}; set it to COCO")
    transform = ObjectTrainTransform if training else ObjectTestTransform
    split = make_split(field, CocoDataset, {"root", "transform", "seed"}, transform, options, root)
    for key in ("annotations", "images"):
        if not isinstance(options.get(key), str):
            raise InputError(f"{field}.{key} is {options.get(key)!r}; set it to a path below the data root")
    return split


def read_object_split(split: Split, seed: int = 0) -> CocoDataset:
    """The data set of a split; `seed` is that of the augmentation. InputError for data that cannot be read."""
    return CocoDataset(split.root, transform=split.transform, seed=seed, **split.options)


def build_object_dataset(section: Mapping[str, Any], root: Path | str, training: bool, seed: int = 0) -> CocoDataset:
    """Builds the data set of a section: `object_split`, then `read_object_split`."""
    return read_object_split(object_split(section, root, training), seed)
