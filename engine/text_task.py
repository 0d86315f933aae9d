"""Text detection, as the engine sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataset import PARSERS, TestTransform, TextDataset, TrainTransform, build_dataset, collate
from distillation import Supervised
from engine import inference
from engine.checks import check_names, check_type, check_typed, check_values, parameters
from engine.settings import TestSettings
from engine.task import Task
from engine.visualise import save_pictures
from errors import InputError
from eval.__main__ import table
from models import LOSSES


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

    def supervised(self, student: nn.Module, loss: nn.Module | None) -> Supervised:
        return Supervised(student, loss)

    def train_set(self, data: Mapping[str, Any], seed: int) -> TextDataset:
        return build_dataset(data["train"], data["root"], training=True, seed=seed)

    def save_pictures(self, folder: Path, dataset: TextDataset, indices: Sequence[int], results: dict) -> None:
        save_pictures(folder, [dataset.parser[i] for i in indices], results)
