"""Object detection, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from dataset import (
    CocoDataset,
    DetectionBatch,
    DetectionTestTransform,
    DetectionTrainTransform,
    build_detection_dataset,
    collate_detection,
    read_image,
)
from distillation import SupervisedDetection
from engine.checks import check_names, check_type, check_values, one_of, parameters
from engine.inference import autocast
from engine.task import Task, Track, silent
from engine.visualise import draw_objects, save_picture
from errors import InputError
from eval import coco
from models import paste_masks

_MASK_THRESHOLD = 0.5  # of the probability that a pixel belongs to an object


@dataclass(frozen=True)
class DetectionTestSettings:
    """How detections are scored.

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


class DetectionTask(Task):
    """Images to boxes, and masks of detectors that have them; scored as COCO does."""

    scores = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    headline = "ap"
    settings = DetectionTestSettings
    collate = staticmethod(collate_detection)

    def check(self, cfg: Mapping[str, Any]) -> None:
        if "loss" in cfg:
            raise InputError("section 'loss': an object detector computes its own losses; remove it")

    def check_split(self, field: str, split: Any, training: bool) -> None:
        check_type(field, split, ("COCO",))
        transform = DetectionTrainTransform if training else DetectionTestTransform
        known = (parameters(CocoDataset) - {"seed"}) | parameters(transform)
        check_names(field, split, {"type", "root", *known})
        for kind in (CocoDataset, transform):
            check_values(field, split, kind)

    def try_out(self, detector: nn.Module) -> None:
        detector(torch.zeros(1, 3, 64, 64), [(64, 64)])

    def check_student(self, student: nn.Module, data: Mapping[str, Any], dataset: CocoDataset) -> None:
        _check_classes(student, dataset)
        if getattr(student.roi_heads, "mask_head", None) is not None and not data["train"].get("with_masks"):
            raise InputError("model.heads has a mask head, which learns from masks; set data.train.with_masks=True")

    def supervised(self, student: nn.Module, loss: nn.Module | None) -> SupervisedDetection:
        return SupervisedDetection(student)

    def train_set(self, data: Mapping[str, Any], seed: int) -> CocoDataset:
        return build_detection_dataset(data["train"], data["root"], training=True, seed=seed)

    def test_set(self, data: Mapping[str, Any], settings: DetectionTestSettings) -> CocoDataset:
        if data.get("test") is None:
            raise InputError("data.test is missing: this config only trains; use one with a test split")
        return build_detection_dataset(data["test"], data["root"], training=False)

    def predict(
        self,
        detector: nn.Module,
        dataset: CocoDataset,
        settings: DetectionTestSettings,
        device: torch.device,
        precision: str = "32",
        indices: Sequence[int] | None = None,
        workers: int = 0,
        track: Track = silent,
    ) -> dict[int, dict[str, Any]]:
        """See Task.

        Returns:
            By image id: `boxes` (n, 4), `labels` (n,), `scores` (n,) as arrays in pixels of the original image, and
            `segmentations` as eval.coco.encode_masks makes them, where `settings.variant` asks for masks.
        """
        _check_classes(detector, dataset)
        indices = range(len(dataset)) if indices is None else indices
        loader = DataLoader(Subset(dataset, indices), 1, collate_fn=collate_detection, num_workers=workers)
        results = {}
        batch: DetectionBatch
        for batch in track(loader, len(indices)):
            [image_id] = batch.image_ids
            results[image_id] = detect(detector, batch, device, precision, settings.variant == "segm")
        return results

    def stages(
        self,
        detector: nn.Module,
        dataset: CocoDataset,
        settings: DetectionTestSettings,
        device: torch.device,
        precision: str,
    ) -> dict[str, Callable]:
        def network(batch: DetectionBatch) -> dict[str, Any]:
            return detect(detector, batch, device, precision, settings.variant == "segm")

        return {"read": lambda index: collate_detection([dataset[index]]), "network": network}

    def score(
        self,
        results: dict[int, dict[str, Any]],
        dataset: CocoDataset,
        settings: DetectionTestSettings,
        path: str | Path,
    ) -> dict[str, Any]:
        path = Path(path)
        path = path if path.suffix == ".json" else path / "results.json"
        coco.write_results(path, results.items(), dataset.category_ids)
        return coco.evaluate(dataset.ground_truth, path, settings.variant, only=list(results))

    def table(self, summary: Mapping[str, Any]) -> str:
        def cell(value: float | None) -> str:
            return "-" if value is None else f"{value:.4f}"

        pooled = "  ".join(f"{name} {cell(summary[name])}" for name in self.scores)
        width = max(map(len, summary["per_class"]))
        lines = [f"  {name:<{width}}  {cell(value)}" for name, value in summary["per_class"].items()]
        return "\n".join([f"coco {summary['variant']}, {summary['images']} images: {pooled}", "ap by class:", *lines])

    def save_pictures(self, folder: Path, dataset: CocoDataset, indices: Sequence[int], results: dict) -> None:
        for record in map(dataset.record, indices):
            image = read_image(record.image_path)
            picture = draw_objects(image, record.boxes, results[record.image_id], dataset.classes)
            save_picture(folder / f"{record.name}.jpg", picture)


def detect(
    detector: nn.Module, batch: DetectionBatch, device: torch.device, precision: str, with_masks: bool
) -> dict[str, Any]:
    """The detections of a batch of one image, as `DetectionTask.predict` returns them."""
    with torch.inference_mode(), autocast(precision, device):
        images = batch.images.to(device, memory_format=torch.channels_last)
        [found] = detector(images, batch.sizes).detections
    return to_original(found, batch.sizes[0], batch.original_sizes[0], with_masks)


def _check_classes(detector: nn.Module, dataset: CocoDataset) -> None:
    if len(dataset.classes) != detector.num_classes:
        raise InputError(
            f"{dataset.ground_truth}: has {len(dataset.classes)} classes, model.num_classes is {detector.num_classes}; "
            f"set it to {len(dataset.classes)}, or give other annotations"
        )


def to_original(
    found: Mapping[str, Tensor], size: tuple[int, int], original: tuple[int, int], with_masks: bool
) -> dict[str, Any]:
    """Detections of one image, from its resized frame of (h, w) to the original one of (h0, w0)."""
    scale = torch.tensor([original[1] / size[1], original[0] / size[0]]).repeat(2)
    boxes = found["boxes"].float().cpu() * scale
    arrays = {"boxes": boxes, "labels": found["labels"].cpu(), "scores": found["scores"].float().cpu()}
    result: dict[str, Any] = {key: value.numpy() for key, value in arrays.items()}
    if with_masks:
        if "masks" not in found:
            raise InputError("test_cfg.variant='segm': this detector has no masks; use 'bbox'")
        result["segmentations"] = []
        for box, mask in zip(boxes, found["masks"].float().cpu()):  # one by one: 100 masks of a large image are much
            pasted = paste_masks(mask[None], box[None], original)
            result["segmentations"] += coco.encode_masks(np.asarray(pasted >= _MASK_THRESHOLD))
    return result
