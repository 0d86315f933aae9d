"""Speed of detection on this machine: the time of each step, and the throughput of all together."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from engine.inference.evaluator import Evaluator, finish_output
from engine.inference.flow import same_size_batches
from engine.inference.pipeline import start
from engine.tasks.base import NetworkInput, NetworkOutput

STEPS = ("decode", "resize", "network", "post_processing", "write")


def measure_speed(predictor: Evaluator, dataset: Dataset, indices: Sequence[int], images: int = 20) -> dict[str, float]:
    """Milliseconds per image of each step alone, and images per second of all together.

    Steps, one after the other in this process: `decode` (file to array), `resize` (and normalise), `network` (to
    the device and back), `post_processing` (network outputs to results), `write` (result files). Each is the median
    over `images` images (a batch, if that is more), repeated where there are fewer, after a warm-up pass over the same
    images. Images of one size share a batch as in Evaluator.predict; its time is divided
    among them.

    `images_per_second` is that of Evaluator.predict and of writing its results, over all of `indices`, from the moment
    when the processes have started and the first image is read. `images_per_second_in_turn` is the rate of the steps
    if each waited for the one before.

    Args:
        indices: indices of the images in the data set, at least one.
    """
    few = list(islice(cycle(indices), max(images, predictor.batch_size)))
    begin = 0.0

    def clock(items: Iterable, total: int) -> Iterator:
        nonlocal begin
        for number, item in enumerate(items):
            begin = begin if number else time.perf_counter()
            yield item

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(predictor.settings.result_path).name
        for _ in range(2):  # the first is the warm-up
            times = _step_times(predictor, dataset, few, path)
        results = predictor.predict(dataset, indices, clock)
        predictor.task.write(results, dataset, predictor.settings, path)
        elapsed = time.perf_counter() - begin
    medians = {step: float(np.median(times[step])) for step in STEPS}
    return {
        **medians,
        "images_per_second": len(indices) / elapsed,
        "images_per_second_in_turn": 1000 / sum(medians.values()),
    }


def speed_table(speed: Mapping[str, float]) -> str:
    """The result of `measure_speed` as lines of text."""
    steps = [f"{step:<26}{speed[step]:9.2f} ms per image" for step in STEPS]
    return "\n".join([*steps, *(f"{name:<26}{speed[name]:9.2f}" for name in speed if name not in STEPS)])


def _step_times(predictor: Evaluator, dataset: Dataset, indices: Sequence[int], path: Path) -> dict[str, list[float]]:
    """Milliseconds of each step of Evaluator.predict, run one after the other, a value for each image."""
    task, device, times = predictor.task, predictor.device, defaultdict(list)

    def timed(step: str, images: int, function: Callable, *args: Any) -> Any:
        begin = time.perf_counter()
        value = function(*args)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times[step] += [1000 * (time.perf_counter() - begin) / images] * images
        return value

    def resize(image: np.ndarray, record: Any) -> NetworkInput:
        return task.network_input(dataset.transform(image, record, np.random.default_rng(0)))

    def inputs() -> Iterator[NetworkInput]:
        for index in indices:
            yield timed("resize", 1, resize, *timed("decode", 1, dataset.read, index))

    def network(batch: list[NetworkInput]) -> list[NetworkOutput]:
        return start(predictor.network, batch, device, predictor.precision)()

    post_processing, results = task.post_processing(predictor.detector, predictor.settings, dataset), {}
    for batch in same_size_batches(inputs(), predictor.batch_size):
        for output in timed("network", len(batch), network, batch):
            key, results[key] = timed("post_processing", 1, finish_output, post_processing, output)
    for _ in indices:
        timed("write", len(results), task.write, results, dataset, predictor.settings, path)
    return times
