"""Text detection as a task of the engine."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import eval
from dataset import (
    PARSERS,
    Split,
    TestSample,
    TestTransform,
    TextDataset,
    TextRecord,
    TrainTransform,
    collate,
    read_text_split,
    text_split,
)  # fmt: skip
from distillation import Supervised
from engine.checks import check_names, check_type, check_typed, check_values
from engine.outputs import kept
from engine.settings import TestSettings
from engine.tasks.base import NetworkInput, Task
from engine.visualise import save_pictures
from errors import InputError
from eval.__main__ import table
from eval.files import check_folder, check_zip
from files import check_output
from keywords import keywords
from models import LOSSES
from post_processing import Detection, maps_to_polygons, require_extension

logger = logging.getLogger(__name__)

FEW = 50  # images examined again if nothing was detected


class TextTask(Task):
    """Images to polygons, scored by the protocol of a benchmark."""

    takes_unlabelled = True
    scores = ("precision", "recall", "hmean")
    headline = "hmean"
    settings = TestSettings
    collate = staticmethod(collate)
    table = staticmethod(table)

    def check(self, cfg: Mapping[str, Any]) -> None:
        if "loss" not in cfg:
            raise InputError("section 'loss' is missing")
        check_typed("loss", cfg["loss"], LOSSES)

    def split(self, field: str, section: Any, root: str, training: bool) -> Split:
        check_type(field, section, PARSERS.module_dict)
        transform = TrainTransform if training else TestTransform
        check_names(field, section, {"type", "root", *keywords(PARSERS.get(section["type"])), *keywords(transform)})
        check_values(field, section, transform)
        return text_split(section, root, training)

    def try_out(self, detector: nn.Module) -> None:
        detector(torch.zeros(1, 3, 64, 64))

    def check_student(self, student: nn.Module, split: Split, dataset: TextDataset | None) -> None:
        predicted, drawn = student.head.maps.count("kernel"), len(split.transform.ratios)
        if predicted != drawn:
            raise InputError(
                f"model.head predicts {predicted} kernel(s), data.train draws {drawn}; PANHead goes with "
                "data.train.kernel_scale, PSENetHead with data.train.kernel_num and min_scale"
            )

    def supervised(self, student: nn.Module, loss: nn.Module | None) -> Supervised:
        return Supervised(student, loss)

    def train_set(self, split: Split, seed: int) -> TextDataset:
        dataset = read_text_split(split, seed)
        logger.info(dataset.overview())
        dataset.require_text()
        return dataset

    def check_batch(self, dataset: TextDataset, batch_size: int) -> None:
        if dataset.transform.img_size == 32 and batch_size == 1:
            raise InputError(
                "data.train.img_size=32 with one image a batch (of each process): the deepest maps are one pixel, of "
                "which batch normalisation takes no deviation; set img_size to 64, or a larger data.batch_size"
            )

    def test_set(self, split: Split | None, settings: TestSettings) -> TextDataset:
        require_extension()
        if split is None:
            raise InputError(
                "data.test is missing: this config only trains; use one with a test split, or give data.test"
            )
        dataset = read_text_split(split)
        dataset.require_text()
        eval.PROTOCOLS[settings.protocol].read_ground_truth(dataset.parser.ground_truth)
        return dataset

    def test_transform(self, section: Mapping[str, Any]) -> TestTransform:
        return TestTransform(**{key: section[key] for key in keywords(TestTransform).keys() & section.keys()})

    def unlabelled(self, path: Path, key: int) -> TextRecord:
        return TextRecord(path, [], np.zeros(0, bool), [])

    def check_labels(self, detector: nn.Module, dataset: TextDataset, settings: TestSettings) -> None:
        """Text has no classes."""

    def network_input(self, sample: TestSample) -> NetworkInput:
        return NetworkInput(sample.name, sample.image, tuple(sample.image.shape[-2:]), sample.original_size)

    def network(self, detector: nn.Module, images: Tensor, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        return [{"logits": logits} for logits in detector(images).logits]

    def post_processing(
        self, detector: nn.Module, settings: TestSettings, dataset: TextDataset
    ) -> Callable[..., list[Detection]]:
        return partial(maps_to_polygons, maps=detector.head.maps, **settings.thresholds)

    def write(
        self,
        results: Mapping[str, Sequence[Detection]],
        dataset: TextDataset,
        settings: TestSettings,
        path: str | Path,
    ) -> Path:
        polygons = {name: [detection.polygon for detection in found] for name, found in results.items()}
        eval.write_results(settings.protocol, path, polygons)
        return Path(path)

    def score(
        self,
        results: Mapping[str, Sequence[Detection]],
        dataset: TextDataset,
        settings: TestSettings,
        path: str | Path,
    ) -> dict[str, Any]:
        self.write(results, dataset, settings, path)
        with kept(path):
            return eval.evaluate(settings.protocol, dataset.parser.ground_truth, path, settings.variant, only=results)

    def check_result_path(self, field: str, path: Path, data: Sequence[Path]) -> None:
        is_zip = path.suffix == ".zip"
        check_output(field, path, data, folder=not is_zip)
        (check_zip if is_zip else check_folder)(path)

    def count(self, results: dict[str, list[Detection]]) -> int:
        return sum(map(len, results.values()))

    def highest(self, predictor: Any, dataset: TextDataset) -> str:
        few, least = range(min(len(dataset), FEW)), predictor.settings.min_score
        looser = copy.copy(predictor)
        looser.settings = replace(predictor.settings, min_score=0.0)
        scores = [detection.score for found in looser.predict(dataset, few).values() for detection in found]
        highest = f"highest {max(scores):.4g}" if scores else "no region of text at all"
        where = f" in the first {len(few)} images" if len(few) < len(dataset) else ""
        return f"0 detections of at least {least:g}, {highest}{where} (test_cfg.min_score, min_area)"

    def save_pictures(self, folder: Path, dataset: TextDataset, indices: Sequence[int], results: dict) -> None:
        save_pictures(folder, [dataset.parser[i] for i in indices], results)
