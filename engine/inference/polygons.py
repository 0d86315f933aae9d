"""From images to polygons in original pixels, to result files, to scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import eval
from dataset import TextDataset, build_dataset
from engine.settings import TestSettings
from errors import InputError
from post_processing import Detection, decode_pan, decode_psenet, labels_to_polygons, require_extension

DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}  # of --precision
Decoder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def test_set(data: Mapping[str, Any], settings: TestSettings) -> TextDataset:
    """The test split of the `data` section; its labels are read once, so that a mistake in them shows at once."""
    require_extension()
    if data.get("test") is None:
        raise InputError("data.test is missing: this config only trains; use one with a test split, or give data.test")
    dataset = build_dataset(data["test"], data["root"], training=False)
    dataset.require_text()
    eval.PROTOCOLS[settings.protocol].read_ground_truth(dataset.parser.ground_truth)
    return dataset


test_set.__test__ = False  # not a test case, whatever pytest makes of the name


def worker_count(data: Mapping[str, Any], processes: int = 1) -> int:
    """`data.num_workers`, or the cores of this machine divided by the training processes, 8 at most."""
    given = data.get("num_workers")
    return min(8, (os.cpu_count() or 1) // processes) if given is None else given


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """Mixed precision for 'bf16' and '16', nothing for '32'."""
    return nullcontext() if precision == "32" else torch.autocast(device.type, DTYPES[precision])


@torch.inference_mode()
def predict_logits(detector: nn.Module, image: Tensor, device: torch.device, precision: str = "32") -> np.ndarray:
    """Output maps (K, H/4, W/4) float32 of one image (3, H, W)."""
    with autocast(precision, device):
        logits = detector(image[None].to(device, memory_format=torch.channels_last)).logits[0]
    return logits.float().cpu().numpy()


def decoder(detector: nn.Module) -> Decoder:
    """What turns output maps into instances: pixel aggregation where the detector predicts an embedding, else PSE."""
    return decode_pan if "embedding" in detector.head.maps else decode_psenet


def to_polygons(
    logits: np.ndarray, decode: Decoder, size: tuple[int, int], original_size: tuple[int, int], settings: TestSettings
) -> list[Detection]:
    """Polygons in original pixels from output maps (K, H/4, W/4).

    Args:
        logits: output maps of one image.
        decode: see `decoder`.
        size: (H, W) of the network input.
        original_size: (H0, W0) of the image file.
        settings: the test_cfg section.
    """
    labels, score = decode(logits)
    return labels_to_polygons(
        labels,
        score,
        size,
        original_size,
        min_area=settings.min_area,
        min_score=settings.min_score,
        bbox_type=settings.bbox_type,
    )


def write(
    results: Mapping[str, Sequence[Detection]], dataset: TextDataset, settings: TestSettings, path: str | Path
) -> Path:
    """Writes result files in the benchmark's format to `path`, a folder or .zip; returns it."""
    polygons = {name: [detection.polygon for detection in found] for name, found in results.items()}
    eval.write_results(settings.protocol, path, polygons)
    return Path(path)


def score(
    results: Mapping[str, Sequence[Detection]], dataset: TextDataset, settings: TestSettings, path: str | Path
) -> dict[str, Any]:
    """Writes result files to `path`, and scores these files on their images.

    Returns:
        The summary of the protocol: precision, recall, hmean, per_image and counts.
    """
    write(results, dataset, settings, path)
    with kept(path):
        return eval.evaluate(settings.protocol, dataset.parser.ground_truth, path, settings.variant, only=results)


@contextmanager
def kept(path: str | Path) -> Iterator[None]:
    """Adds to an error of the scoring where the detections are, which took hours."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; what was detected is kept in {path}") from error
