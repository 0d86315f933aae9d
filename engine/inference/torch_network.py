"""Networks of checkpoints for the Predictor, and what is to be known about them beside their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from dataset.images import MEAN, STD
from engine.checks import check_settings
from engine.inference.evaluator import finish_output
from engine.inference.pipeline import start
from engine.inference.predictor import Job, Predictor
from engine.inference.text_predictor import TextPredictor
from engine.precision import autocast, check_precision, resolve_device
from engine.settings import TestSettings
from engine.tasks import TASKS
from engine.tasks.base import NetworkInput
from engine.training.checkpoint import own_config, restore_detector
from errors import InputError
from models.fuse import fuse_batch_norm
from models.weights import read_checkpoint


class TorchNetwork:
    """A text detector in PyTorch, with the interface of exported networks.

    Args:
        detector: network in evaluation mode.
        metadata: see `metadata_of`.
        device: device of the network.
        precision: '32', 'bf16' or '16'.
    """

    def __init__(self, detector: nn.Module, metadata: Mapping[str, Any], device: torch.device, precision: str) -> None:
        self.detector = detector.to(device)
        self.metadata = metadata
        self.device = device
        self.precision = precision

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Output maps (B, K, H/4, W/4) float32 of normalised images (B, 3, H, W) float32."""
        batch = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(self.precision, self.device):
            logits = self.detector(batch).logits
        return logits.float().contiguous().cpu().numpy()


class ObjectPredictor(Predictor):
    """Detects objects in pictures; see Predictor.

    Args:
        detector: network in evaluation mode.
        config: the config that it was trained with.
        device, precision: as in TorchNetwork.
        options: see Predictor.
    """

    task: ClassVar[str] = "objects"

    def __init__(
        self, detector: nn.Module, config: Mapping[str, Any], device: torch.device, precision: str, **options: Any
    ) -> None:
        super().__init__(**options)
        self.detector, self.device, self.precision = detector.to(device), device, precision
        self.classes = tuple(detector.classes)
        self._task = TASKS[detector.task]
        settings = check_settings("test_cfg", config, self._task.settings)
        self.transform = self._task.test_transform(config["data"].get("test") or {})
        self._network = partial(self._task.network, detector)
        self._post_processing = self._task.post_processing(detector, settings, None)

    def prepare(self, picture: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        record = self._task.unlabelled(Path("picture"), 0)
        item = self._task.network_input(self.transform(picture, record, np.random.default_rng(0)))
        return item.image.numpy(), item.size

    def run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        inputs = [NetworkInput(job.key, torch.from_numpy(job.image), job.size, job.picture.shape[:2]) for job in jobs]
        return start(self._network, inputs, self.device, self.precision)()

    def finish(self, job: Job, output: Any) -> None:
        _, job.result = finish_output(self._post_processing, output)


def load_predictor(
    path: str | Path, device: str, precision: str, threads: int | None, options: Mapping[str, Any]
) -> Predictor:
    """The detector of a checkpoint in PyTorch; see Predictor.load."""
    place = resolve_device(device)
    check_precision(precision, place)
    content = read_checkpoint(path)
    config = own_config(content, path)
    detector = fuse_batch_norm(restore_detector(config["model"], content, path))
    if threads is not None:
        torch.set_num_threads(threads)
    if detector.task == "text":
        return TextPredictor(
            TorchNetwork(detector, metadata_of(detector, config, content), place, precision), **options
        )
    for name in options.keys() - {"batch_size", "workers", "upright"}:
        option = name.replace("_", "-")
        raise InputError(f"{path}: is of an object detector, for which --{option} has no meaning; leave it out")
    return ObjectPredictor(detector, config, place, precision, **options)


def metadata_of(detector: nn.Module, config: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """What a program needs to detect with the network alone, in plain values.

    `mean` and `std` normalise RGB values of 0 to 1; the sides of an image must be multiples of `stride`; the outputs
    are called `maps`, and are `map_stride` times smaller; `short_size` is the length to which the short side is scaled;
    thresholds (`min_score` and so on) are those of `test_cfg`; the rest says where the network comes from.
    """
    settings = check_settings("test_cfg", config, TestSettings)
    transform = TASKS["text"].test_transform(config["data"].get("test") or {})
    return {
        "format": 1,
        "task": "text",
        "precision": "32",
        "mean": MEAN,
        "std": STD,
        "stride": detector.stride,
        "map_stride": 4 // detector.head.upscale,
        "maps": detector.head.maps,
        "classes": [],
        "short_size": transform.short_size,
        **settings.thresholds,
        "protocol": settings.protocol,
        "git_revision": content.get("git_revision"),
        "epoch": content.get("epoch"),
        "config": config,
    }
