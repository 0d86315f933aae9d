"""Times one training sample, without decoding: `python benchmarks/training_sample.py [--size 640]`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset import TextRecord, TrainTransform


def random_record(rng: np.random.Generator, size: tuple[int, int], count: int) -> TextRecord:
    """`count` bent stripes of 14 points in an image of `size` (H, W)."""
    polygons = []
    for _ in range(count):
        x = np.linspace(0, rng.uniform(60, 300), 7)
        top = np.stack([x, 15 * np.sin(x / 60)], axis=1)
        bottom = top[::-1] + np.array([0, rng.uniform(15, 50)])
        start = rng.uniform((0, 0), (size[1] - 300, size[0] - 60))
        polygons.append((np.concatenate([top, bottom]) + start).astype(np.float32))
    return TextRecord(Path("random.jpg"), polygons, np.zeros(count, bool), [""] * count)


def main() -> None:
    """Prints the median time of a sample for both kinds of targets."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=640, help="side of the training crop")
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--instances", type=int, default=12, help="text instances in the image")
    args = options.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    shape = (1000, 1400)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    record = random_record(rng, shape, args.instances)
    for name, kernels in (
        ("PAN, KKD (1 kernel)", {"kernel_scale": 0.7}),
        ("PSENet (6 kernels)", {"kernel_num": 7, "min_scale": 0.7}),
    ):
        transform = TrainTransform(args.size, args.size, **kernels)
        times = []
        for run in range(args.runs):
            start = time.perf_counter()
            transform(image, record, np.random.default_rng(run))
            times.append(1e3 * (time.perf_counter() - start))
        print(f"{name}: {np.median(times):.2f} ms a sample (90th percentile {np.percentile(times, 90):.2f} ms)")


if __name__ == "__main__":
    main()
