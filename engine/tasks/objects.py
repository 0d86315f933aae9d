"""Object detection as a task of the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataset import (
    CocoDataset,
    ObjectTestTransform,
    ObjectTrainTransform,
    Split,
    collate_objects,
    object_split,
    read_image,
    read_object_split,
)
from dataset.objects.records import ObjectRecord, ObjectSample
from distillation import SupervisedObjects
from engine.checks import check_names, check_type, check_values, one_of
from engine.outputs import kept
from engine.tasks.base import NetworkInput, Task
from engine.visualise import draw_objects, save_picture
from errors import InputError
from eval import coco
from files import check_output
from keywords import keywords
from models import paste_masks

logger = logging.getLogger(__name__)

RESULTS = "results.json"  # file name of the results in a folder
NO_MASKS = "test_cfg.variant='segm': this detector has no masks; use 'bbox'"
_MASK_THRESHOLD = 0.5  # probability that a pixel belongs to the object


@dataclass(frozen=True)
class ObjectTestSettings:
    """Settings of the scoring of detections.

    Attributes:
        protocol: 'coco'.
        variant: 'bbox', or 'segm' for detectors with masks.
        result_path: file for the results of test.py.
    """

    protocol: str = "coco"
    variant: str = "bbox"
    result_path: str = "outputs/detections.json"

    def __post_init__(self) -> None:
        one_of("test_cfg.protocol", self.protocol, ("coco",))
        one_of("test_cfg.variant", self.variant, coco.VARIANTS)


class ObjectTask(Task):
    """Images to boxes, and masks of detectors that have them; scored as COCO does."""

    scores = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    headline = "ap"
    settings = ObjectTestSettings
    collate = staticmethod(collate_objects)

    def check(self, cfg: Mapping[str, Any]) -> None:
        if "loss" in cfg:
            raise InputError("section 'loss': an object detector computes its own losses; remove it")

    def split(self, field: str, section: Any, root: str, training: bool) -> Split:
        check_type(field, section, ("COCO",))
        transform = ObjectTrainTransform if training else ObjectTestTransform
        known = {*keywords(CocoDataset), *keywords(transform)} - {"seed", "transform"}
        check_names(field, section, {"type", *known})
        for kind in (CocoDataset, transform):
            check_values(field, section, kind)
        return object_split(section, root, training)

    def try_out(self, detector: nn.Module) -> None:
        detector(torch.zeros(1, 3, 64, 64), [(64, 64)])

    def check_student(self, student: nn.Module, split: Split, dataset: CocoDataset) -> None:
        label_map(student, dataset)
        student.classes = tuple(dataset.classes)
        if getattr(student.roi_heads, "mask_head", None) is not None and not split.options.get("with_masks"):
            raise InputError("model.heads has a mask head, which learns from masks; set data.train.with_masks=True")

    def supervised(self, student: nn.Module, loss: nn.Module | None) -> SupervisedObjects:
        return SupervisedObjects(student)

    def train_set(self, split: Split, seed: int) -> CocoDataset:
        dataset = read_object_split(split, seed)
        logger.info(dataset.overview())
        return dataset

    def check_batch(self, dataset: CocoDataset, batch_size: int) -> None:
        """Accepts any: images differ in size, and normalisation by batches is mostly frozen in object detectors."""

    def test_set(self, split: Split | None, settings: ObjectTestSettings) -> CocoDataset:
        if split is None:
            raise InputError("data.test is missing: this config only trains; use one with a test split")
        dataset = read_object_split(split)
        instances, ignored = dataset.instance_counts()
        if instances == ignored:
            raise InputError(f"{dataset.ground_truth}: has no box to find: nothing can be scored; give another file")
        return dataset

    def check_labels(self, detector: nn.Module, dataset: CocoDataset, settings: ObjectTestSettings) -> None:
        label_map(detector, dataset)
        heads = detector.roi_heads
        if settings.variant == "segm" and not (getattr(heads, "mask_head", None) and heads.predict_masks):
            raise InputError(NO_MASKS)

    def test_transform(self, section: Mapping[str, Any]) -> ObjectTestTransform:
        known = keywords(ObjectTestTransform).keys() & section.keys()
        return ObjectTestTransform(**{key: section[key] for key in known})

    def unlabelled(self, path: Path, key: int) -> ObjectRecord:
        return ObjectRecord(path, key, path.stem, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))

    def network_input(self, sample: ObjectSample) -> NetworkInput:
        batch = collate_objects([sample])
        [image], [size], [original_size], [key] = batch.images, batch.sizes, batch.original_sizes, batch.image_ids
        return NetworkInput(key, image, tuple(size), original_size)

    def network(self, detector: nn.Module, images: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        return detector(images, sizes).detections

    def post_processing(
        self, detector: nn.Module, settings: ObjectTestSettings, dataset: CocoDataset
    ) -> Callable[..., dict[str, Any]]:
        labels = label_map(detector, dataset) if hasattr(dataset, "classes") else None
        return partial(to_original, label_map=labels, with_masks=settings.variant == "segm")

    def check_result_path(self, field: str, path: Path, data: Sequence[Path]) -> None:
        check_output(field, path, data, folder=path.suffix != ".json")
        if path.suffix != ".json":
            check_output(field, path / RESULTS, folder=False)

    def write(
        self, results: dict[int, Any], dataset: CocoDataset, settings: ObjectTestSettings, path: str | Path
    ) -> Path:
        path = Path(path)
        path = path if path.suffix == ".json" else path / RESULTS
        coco.write_results(path, results.items(), dataset.category_ids)
        return path

    def score(
        self, results: dict[int, Any], dataset: CocoDataset, settings: ObjectTestSettings, path: str | Path
    ) -> dict[str, Any]:
        path = self.write(results, dataset, settings, path)
        with kept(path):
            return coco.evaluate(dataset.ground_truth, path, settings.variant, only=list(results))

    def count(self, results: dict[int, Any]) -> int:
        return sum(len(found["boxes"]) for found in results.values())

    def highest(self, predictor: Any, dataset: CocoDataset) -> str:
        return f"0 detections of at least {predictor.detector.roi_heads.score_thresh:g} (model.heads.score_thresh)"

    def table(self, summary: Mapping[str, Any]) -> str:
        def cell(value: float | None) -> str:
            return "-" if value is None else f"{value:.4f}"

        pooled = "  ".join(f"{name} {cell(summary[name])}" for name in self.scores)
        width = max(map(len, summary["per_class"]))
        lines = [f"  {name:<{width}}  {cell(value)}" for name, value in summary["per_class"].items()]
        return "\n".join([f"coco {summary['variant']}, {summary['images']} images: {pooled}", "ap by class:", *lines])

    def save_pictures(self, folder: Path, dataset: CocoDataset, indices: Sequence[int], results: dict) -> None:
        records = list(map(dataset.record, indices))
        names = picture_names([(record.name, record.image_path.name) for record in records])
        for record, name in zip(records, names):
            image = read_image(record.image_path)
            save_picture(folder / name, draw_objects(image, record.boxes, results[record.image_id], dataset.classes))


def picture_names(images: Sequence[tuple[str, str]]) -> list[str]:
    """Names of JPEG pictures, relative to a folder and inside it, each for one image.

    Args:
        images: name without extension (possibly with folders) and file name of each image.

    Returns:
        NAME.jpg; if taken, the file name and .jpg, with a number before it if necessary.
    """
    taken: set[str] = set()

    def name_of(image: tuple[str, str]) -> str:
        path = PurePosixPath(image[0])  # from the annotations: it may lead out of the folder
        folder = PurePosixPath(*[part for part in path.parts if part not in (path.anchor, "..")][:-1])
        wanted = [path.name, image[1], *(f"{number}_{image[1]}" for number in range(2, len(images) + 2))]
        name = next(name for each in wanted if (name := str(folder / f"{each}.jpg")).casefold() not in taken)
        taken.add(name.casefold())
        return name

    return list(map(name_of, images))


def label_map(detector: nn.Module, dataset: CocoDataset) -> np.ndarray:
    """Map from the labels of a network to those of a data set, which may have a subset of its classes, in any order.

    Classes are compared by name where the network knows the names, which is where `detector.classes` holds them.

    Returns:
        (C + 1,) int64: label of the data set by the network's label, from 1; 0 for a class that it lacks.

    Raises:
        InputError: the data set has a class that the network does not predict; or another number of classes than a
            network without names.
    """
    own, wanted = getattr(detector, "classes", ()), tuple(dataset.classes)
    if own:
        if len(own) != detector.num_classes:
            raise InputError(
                f"the checkpoint names {len(own)} classes, its network predicts {detector.num_classes}; "
                "use the checkpoint as it was written"
            )
        for name in wanted:
            if name not in own:
                raise InputError(
                    f"{dataset.ground_truth}: has the class '{name}', on which the network was not trained (it was on "
                    f"{', '.join(own[:5])}{', ...' if len(own) > 5 else ''}); give annotations of its classes"
                )
        return np.array([0, *(wanted.index(name) + 1 if name in wanted else 0 for name in own)])
    if len(wanted) != detector.num_classes:
        raise InputError(
            f"{dataset.ground_truth}: has {len(wanted)} classes, model.num_classes is {detector.num_classes}; "
            f"set it to {len(wanted)}, or give other annotations"
        )
    return np.arange(len(wanted) + 1)


def to_original(
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray | None = None,
    *,
    size: tuple[int, int],
    original_size: tuple[int, int],
    label_map: np.ndarray | None = None,
    with_masks: bool,
) -> dict[str, Any]:
    """Detections of one image, from its resized frame of (h, w) to the original one of (h0, w0).

    Args:
        boxes, labels, scores, masks: (n, 4), (n,), (n,) and (n, 1, 28, 28), as models.RCNN gives them.
        label_map: see `label_map`; detections without a label there are left out. None: labels are kept.
        with_masks: True to return masks.

    Returns:
        `boxes` (n, 4), `labels` (n,), `scores` (n,) in pixels of the original image and, where masks are wanted,
        `segmentations` as eval.coco.encode_masks makes them.

    Raises:
        InputError: masks are wanted, and there are none.
    """
    (h, w), (h0, w0) = size, original_size
    if label_map is not None:
        labels = label_map[labels]
        boxes, scores, masks = (None if part is None else part[labels > 0] for part in (boxes, scores, masks))
        labels = labels[labels > 0]
    boxes = boxes * np.array([w0 / w, h0 / h, w0 / w, h0 / h], np.float32)
    result: dict[str, Any] = {"boxes": boxes, "labels": labels, "scores": scores}
    if with_masks:
        if masks is None:
            raise InputError(NO_MASKS)
        result["segmentations"] = []
        for box, mask in zip(torch.from_numpy(boxes), torch.from_numpy(masks)):
            pasted = paste_masks(mask[None], box[None], original_size)  # one by one: 100 large masks need much memory
            result["segmentations"] += coco.encode_masks(np.asarray(pasted >= _MASK_THRESHOLD))
    return result
