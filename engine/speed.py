"""How long each stage of detection takes on this machine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from engine.tasks import TASKS


def measure_speed(
    detector: nn.Module,
    dataset: Dataset,
    settings: Any,
    device: torch.device,
    precision: str,
    images: int = 20,
    warm_up: int = 3,
) -> dict[str, float]:
    """Median milliseconds per image of each stage, one image at a time, and images per second end to end.

    The stages are those of the detector's task: `read` (decode, resize, normalise), `network` (with the transfer back,
    which waits for the device), and for text `polygons` (post-processing). The first `warm_up` images are not counted.
    """
    stages = TASKS[detector.task].stages(detector, dataset, settings, device, precision)
    times: dict[str, list[float]] = {name: [] for name in stages}
    for number in range(images + warm_up):
        value: Any = number % len(dataset)
        for name, stage in stages.items():
            start = time.perf_counter()
            value = stage(value)
            times[name].append(time.perf_counter() - start)
    medians = {name: 1000 * float(np.median(values[warm_up:])) for name, values in times.items()}
    totals = np.sum([values[warm_up:] for values in times.values()], axis=0)
    return {**medians, "images_per_second": 1 / float(np.median(totals))}
