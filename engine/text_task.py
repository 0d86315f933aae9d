"""Text detection, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dataset import PARSERS, TestSample, TestTransform, TextDataset, TrainTransform, build_dataset, collate
from distillation import Supervised
from engine import inference
from engine.checks import check_names, check_type, check_typed, check_values, parameters
from engine.settings import TestSettings
from engine.task import Task
from engine.visualise import save_pictures
from errors import InputError
from eval.__main__ import table
from models import LOSSES
from post_processing import Detection


class TextTask(Task):
    """Images to polygons, scored by the protocol of a benchmark."""

    scores = ("precision", "recall", "hmean")
    headline = "hmean"
    settings = TestSettings
    collate = staticmethod(collate)
    predict = staticmethod(inference.predict)
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
        return build_dataset(data["train"], data["root"], training=True, seed=seed)

    def stages(
        self, detector: nn.Module, dataset: TextDataset, settings: TestSettings, device: torch.device, precision: str
    ) -> dict[str, Callable]:
        decode = inference.decoder(detector)

        def network(sample: TestSample) -> tuple[TestSample, np.ndarray]:
            return sample, inference.predict_logits(detector, sample.image, device, precision)

        def polygons(found: tuple[TestSample, np.ndarray]) -> list[Detection]:
            sample, logits = found
            return inference.to_polygons(logits, decode, sample.image.shape[-2:], sample.original_size, settings)

        return {"read": dataset.__getitem__, "network": network, "polygons": polygons}

    def save_pictures(self, folder: Path, dataset: TextDataset, indices: Sequence[int], results: dict) -> None:
        save_pictures(folder, [dataset.parser[i] for i in indices], results)
