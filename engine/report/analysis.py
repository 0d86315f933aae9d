"""What a tested text detector finds and misses: image by image, by size and aspect, and over `min_score`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import eval
from dataset import TextDataset
from engine.inference.evaluator import Evaluator
from engine.inference.flow import Track, silent
from engine.settings import TestSettings
from engine.tasks.base import Task
from engine.tasks.text import TextTask
from errors import InputError
from post_processing import Detection

SIDES = (8, 16, 32, 64)  # pixels
ASPECTS = (2, 4, 8)


class Group(NamedTuple):
    """Texts of similar shape.

    Attributes:
        name: description of the group.
        count: number of texts that are to be found.
        recall: their recall; None without any.
    """

    name: str
    count: int
    recall: float | None


class Analysis:
    """Scores and matches of a text detector on a test set.

    Args:
        labels: folder or file of the ground truth.
        settings: the `test_cfg` section.
        everything: results of `predict_everything`.

    Attributes:
        ground_truth: image id -> ground truth of the protocol.
        detections: image id -> detections whose scores reach `settings.min_score`.
        scorer: the protocol's, with the matches of these detections.
        sweep: scores for each threshold, see `eval.sweep`.
        best: the entry of `sweep` with the highest hmean, the lowest of several thresholds.
    """

    def __init__(self, labels: Path, settings: TestSettings, everything: Mapping[str, Sequence[Detection]]) -> None:
        protocol, variant = settings.protocol, settings.variant
        self.ground_truth = eval.PROTOCOLS[protocol].read_ground_truth(labels)
        self.detections = at_least(everything, settings.min_score)
        polygons = {name: [detection.polygon for detection in found] for name, found in self.detections.items()}
        self.scorer = eval.judge(protocol, self.ground_truth, polygons, variant)
        thresholds = sorted({*(np.arange(100) / 100).tolist(), float(settings.min_score)})
        self.sweep = eval.sweep(protocol, self.ground_truth, everything, thresholds, variant)
        self.best = max(self.sweep, key=lambda row: row["hmean"])

    @cached_property
    def summary(self) -> dict:
        """The protocol's summary, see `eval.evaluate`."""
        return self.scorer.summary()

    @cached_property
    def worst_first(self) -> list[str]:
        """Image ids, the images with most missed texts and false positives first."""
        scores = self.summary["per_image"]
        return sorted(scores, key=lambda name: (-sum(self.errors(name)), scores[name]["hmean"], name))

    def errors(self, name: str) -> tuple[int, int]:
        """Numbers of missed texts and of false positives of an image."""
        matches = self.scorer.matches[name]
        return int((matches.wanted & ~matches.found).sum()), int((matches.judged & ~matches.true).sum())

    def recall_by_side(self) -> list[Group]:
        """Recall by the short side of the minimum-area rectangle of a text, in pixels of the image."""
        return self._groups(self._rectangles.min(axis=1), SIDES)

    def recall_by_aspect(self) -> list[Group]:
        """Recall by the ratio of the sides, long to short, of the minimum-area rectangle of a text."""
        short, long = np.sort(self._rectangles, axis=1).T
        return self._groups(long / np.maximum(short, 1), ASPECTS)

    @cached_property
    def _rectangles(self) -> np.ndarray:
        """Sides (n, 2) of the minimum-area rectangles of all texts."""
        polygons = (polygon for name in self.scorer.matches for polygon in self.ground_truth[name].polygons)
        return np.array([cv2.minAreaRect(np.float32(p))[1] for p in polygons], float).reshape(-1, 2)

    def _groups(self, values: np.ndarray, edges: Sequence[int]) -> list[Group]:
        matches = self.scorer.matches.values()
        wanted = np.concatenate([one.wanted for one in matches])
        credits = np.concatenate([one.recall_credits for one in matches])
        between = [f"{low} to {high}" for low, high in pairwise(edges)]
        names = [f"below {edges[0]}", *between, f"{edges[-1]} or more"]
        of = np.digitize(values, edges)
        groups = [wanted & (of == number) for number in range(len(names))]
        return [
            Group(name, int(own.sum()), float(credits[own].mean()) if own.any() else None)
            for name, own in zip(names, groups)
        ]


def require_text(task: Task, field: str) -> None:
    """InputError for object detectors, which have no report; `field` is the option that asks for one."""
    if not isinstance(task, TextTask):
        raise InputError(f"{field}: is for text detectors, and this config is of an object detector")


def predict_everything(
    predictor: Evaluator, dataset: TextDataset, indices: Sequence[int], track: Track = silent
) -> dict[str, list[Detection]]:
    """Detections of any score, see Evaluator.predict."""
    looser = copy.copy(predictor)
    looser.settings = replace(predictor.settings, min_score=0.0)
    return looser.predict(dataset, indices, track)


def at_least(everything: Mapping[str, Sequence[Detection]], min_score: float) -> dict[str, list[Detection]]:
    """The detections that post-processing keeps with `min_score`, of those that it keeps with 0."""
    return {name: [one for one in found if one.score >= min_score] for name, found in everything.items()}
