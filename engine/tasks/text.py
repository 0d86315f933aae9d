"""Text detection, as the engine sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dataset import PARSERS, TestSample, TestTransform, TextDataset, TrainTransform, build_dataset, collate
from distillation import Supervised
from engine.checks import check_names, check_type, check_typed, check_values, parameters
from engine.inference import polygons as inference
from engine.inference.pipeline import NetworkInput
from engine.inference.visualise import save_pictures
from engine.settings import TestSettings
from engine.tasks.base import Task
from errors import InputError
from eval.__main__ import table
from eval.files import check_folder, check_zip
from files import check_output
from models import LOSSES
from post_processing import Detection

logger = logging.getLogger(__name__)

FEW = 50  # images that are looked at again where nothing was detected


class TextTask(Task):
    """Images to polygons, scored by the protocol of a benchmark."""

    scores = ("precision", "recall", "hmean")
    headline = "hmean"
    settings = TestSettings
    collate = staticmethod(collate)
    write = staticmethod(inference.write)
    score = staticmethod(inference.score)
    test_set = staticmethod(inference.test_set)
    table = staticmethod(table)

    def check(self, cfg: Mapping[str, Any]) -> None:
        if "loss" not in cfg:
            raise InputError("section 'loss' is missing")
        check_typed("loss", cfg["loss"], LOSSES)

    def check_split(self, field: str, split: Any, training: bool) -> None:
        check_type(field, split, PARSERS.module_dict)
        transform = TrainTransform if training else TestTransform
        known = parameters(PARSERS.get(split["type"])) | parameters(transform)
        check_names(field, split, {"type", "root", *known})
        check_values(field, split, transform)

    def try_out(self, detector: nn.Module) -> None:
        detector(torch.zeros(1, 3, 64, 64))

    def check_student(self, student: nn.Module, data: Mapping[str, Any], dataset: TextDataset | None) -> None:
        predicted, drawn = student.head.maps.count("kernel"), (data["train"].get("kernel_num") or 2) - 1
        if predicted != drawn:
            raise InputError(
                f"model.head predicts {predicted} kernel(s), data.train draws {drawn}; PANHead goes with "
                "data.train.kernel_scale, PSENetHead with data.train.kernel_num and min_scale"
            )

    def supervised(self, student: nn.Module, loss: nn.Module | None) -> Supervised:
        return Supervised(student, loss)

    def train_set(self, data: Mapping[str, Any], seed: int) -> TextDataset:
        dataset = build_dataset(data["train"], data["root"], training=True, seed=seed)
        logger.info(dataset.overview())
        dataset.require_text()
        return dataset

    def check_batch(self, dataset: TextDataset, batch_size: int) -> None:
        if dataset.transform.img_size == 32 and batch_size == 1:
            raise InputError(
                "data.train.img_size=32 with one image a batch (of each process): the deepest maps are one pixel, of "
                "which batch normalisation takes no deviation; set img_size to 64, or a larger data.batch_size"
            )

    def check_labels(self, detector: nn.Module, dataset: TextDataset) -> None:
        """Text has no classes."""

    def network_input(self, sample: TestSample) -> NetworkInput:
        return NetworkInput(sample.name, sample.image, tuple(sample.image.shape[-2:]), sample.original_size)

    def network(self, detector: nn.Module, images: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        return [{"logits": logits} for logits in detector(images).logits]

    def post_processing(
        self, detector: nn.Module, dataset: TextDataset, settings: TestSettings
    ) -> Callable[..., list[Detection]]:
        return partial(inference.to_polygons, decode=inference.decoder(detector), settings=settings)

    def check_result_path(self, field: str, path: Path, data: Sequence[Path]) -> None:
        is_zip = path.suffix == ".zip"
        check_output(field, path, data, folder=not is_zip)
        (check_zip if is_zip else check_folder)(path)

    def count(self, results: dict[str, list[Detection]]) -> int:
        return sum(map(len, results.values()))

    def highest(
        self, detector: nn.Module, dataset: TextDataset, settings: TestSettings, device: torch.device, precision: str
    ) -> str:
        few = range(min(len(dataset), FEW))
        found = self.predict(detector, dataset, replace(settings, min_score=0.0), device, precision, few)
        scores = [detection.score for detections in found.values() for detection in detections]
        highest = f"highest {max(scores):.4g}" if scores else "no region of text at all"
        where = f" in the first {len(few)} images" if len(few) < len(dataset) else ""
        return f"0 detections of at least {settings.min_score:g}, {highest}{where} (test_cfg.min_score, min_area)"

    def save_pictures(self, folder: Path, dataset: TextDataset, indices: Sequence[int], results: dict) -> None:
        save_pictures(folder, [dataset.parser[i] for i in indices], results)
