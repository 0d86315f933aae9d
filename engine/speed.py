"""How long each stage of detection takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from dataset import TextDataset
from engine.inference import decoder, predict_logits, to_polygons
from engine.settings import TestSettings


def measure_speed(
    detector: nn.Module,
    dataset: TextDataset,
    settings: TestSettings,
    device: torch.device,
    precision: str,
    images: int = 20,
    warm_up: int = 3,
) -> dict[str, float]:
    """Median milliseconds per image of each stage, one image at a time, and images per second end to end.

    The stages: `read` (decode, resize, normalise), `network` (with the transfer back, which waits for the device),
    `polygons` (post-processing). The first `warm_up` images are not counted.
    """
    decode = decoder(detector)
    times: dict[str, list[float]] = {"read": [], "network": [], "polygons": []}

    def timed(stage: str, work: Callable, *args: Any) -> Any:
        start = time.perf_counter()
        result = work(*args)
        times[stage].append(time.perf_counter() - start)
        return result

    for number in range(images + warm_up):
        sample = timed("read", dataset.__getitem__, number % len(dataset))
        logits = timed("network", predict_logits, detector, sample.image, device, precision)
        timed("polygons", to_polygons, logits, decode, sample.image.shape[-2:], sample.original_size, settings)
    medians = {stage: 1000 * float(np.median(values[warm_up:])) for stage, values in times.items()}
    totals = np.sum([values[warm_up:] for values in times.values()], axis=0)
    return {**medians, "images_per_second": 1 / float(np.median(totals))}
