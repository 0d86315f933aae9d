"""The picture without labels of `make demo`, and the size and speed of its networks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np

from dataset.synthetic.text_set import find_fonts, render_image
from engine.inference.text_predictor import TextPredictor
from engine.visualise import save_picture
from models.weights import read_weights

SIZE, SEED = (288, 192), 1000  # of the picture: (W, H) in pixels, and a seed that no image of the data set has
RUNS = 15
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms, not learnt


def render_picture(path: Path) -> Path:
    """Writes a rendered picture that belongs to no data set, if it is not there yet; returns its path."""
    if not path.exists():
        image, _ = render_image(np.random.default_rng(SEED), SIZE, find_fonts(None))
        save_picture(path, np.ascontiguousarray(image[:, :, ::-1]))
    return path


def measure(predictors: Mapping[str, Mapping[str, TextPredictor]], picture: Path) -> dict[str, dict[str, float]]:
    """Median milliseconds of networks alone, in this process and in turn: name -> runtime -> time.

    Args:
        predictors: name -> runtime -> detector.
        picture: image file that they run on, one at a time, scaled as in the test.
    """
    times: dict[str, dict[str, list[float]]] = {name: {key: [] for key in own} for name, own in predictors.items()}
    for run in range(RUNS + 1):
        for name, runtimes in predictors.items():
            for runtime, predictor in runtimes.items():
                image = predictor.read(picture).image[None]
                start = time.perf_counter()
                predictor.network(image)
                if run:  # the first is the warm-up
                    times[name][runtime].append(1000 * (time.perf_counter() - start))
    return {name: {runtime: median(taken) for runtime, taken in own.items()} for name, own in times.items()}


def parameters(checkpoint: Path) -> int:
    """Number of learnt weights in a checkpoint."""
    return sum(value.numel() for key, value in read_weights(checkpoint).items() if not key.endswith(_STATISTICS))
