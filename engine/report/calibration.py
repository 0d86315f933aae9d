"""Which thresholds a text detector is best read with: of pixels, `min_text` and `min_kernel`, and of instances.

Those of instances are `min_score` and `min_area`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from engine.inference.evaluator import Evaluator
from engine.inference.flow import Track, silent
from engine.settings import TestSettings
from engine.tasks.text import TextTask
from post_processing import Detection, maps_to_polygons

PIXELS = tuple(product((0.5, 0.7, 0.8, 0.9), repeat=2))  # min_text, min_kernel; the first is that of the literature
AREAS = (100, 200, 300, 400)  # min_area beside that of the config: pixels of the scaled image
INSTANCES = tuple(round(0.02 * i, 2) for i in range(50))  # min_score


class _MapsTask(TextTask):
    """Text detection whose results are the output maps."""

    def post_processing(self, detector: Any, settings: TestSettings, dataset: Any) -> Callable[..., dict[str, Any]]:
        return _as_it_is


def _as_it_is(**output: Any) -> dict[str, Any]:
    return output


def output_maps(
    detector: Evaluator, dataset: Any, indices: Sequence[int] | None = None, track: Track = silent
) -> dict[str, dict[str, Any]]:
    """For each image what `maps_to_polygons` takes of the network: `logits`, `size`, `original_size`."""
    detector = copy.copy(detector)
    detector.task = _MapsTask()
    return detector.predict(dataset, indices, track)


def reading(
    outputs: Mapping[str, Mapping[str, Any]], maps: Sequence[str], settings: TestSettings, **thresholds: float
) -> dict[str, list[Detection]]:
    """The detections of any score in every image.

    Args:
        outputs: of `output_maps`.
        maps: what the maps mean.
        settings: all thresholds but those that are given.
    """
    options = replace(settings, min_score=0.0, **thresholds).thresholds
    return {name: maps_to_polygons(**output, maps=maps, **options) for name, output in outputs.items()}


def readings(
    outputs: Mapping[str, Mapping[str, Any]], maps: Sequence[str], settings: TestSettings
) -> Iterator[tuple[tuple[float, float], dict[str, list[Detection]]]]:
    """`reading` for each pair of PIXELS."""
    for min_text, min_kernel in PIXELS:
        yield (min_text, min_kernel), reading(outputs, maps, settings, min_text=min_text, min_kernel=min_kernel)
