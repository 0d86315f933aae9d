"""Seconds that scoring a test set takes, reading its files included: `python benchmarks/scoring_speed.py`."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.io

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import eval
from annotations import Instance, total_text

BAND = np.stack([np.linspace(0, 1, 7), 0.3 * np.sin(np.linspace(0, 3, 7))], axis=1)
BAND = np.concatenate([BAND, BAND[::-1] + np.array([0, 0.3])])  # a bent stripe of 14 points


def stripes(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Stripes (14, 2), some of which overlap, in an image of 1280x720 pixels."""
    places, lengths = rng.uniform((0, 0), (1160, 640), (count, 2)), rng.uniform(40, 120, count)
    return [np.rint(place + length * BAND) for place, length in zip(places, lengths)]


def numbers(*values: float) -> str:
    return ",".join(f"{v:g}" for v in values)


def ctw1500_label(path: Path, polygons: list[np.ndarray]) -> None:
    lines = [numbers(*p.min(axis=0), *p.max(axis=0), *(p - p.min(axis=0)).ravel()) for p in polygons]
    path.with_suffix(".txt").write_text("\n".join(lines))


def icdar2015_label(path: Path, polygons: list[np.ndarray]) -> None:
    lines = [numbers(*p[[0, 6, 7, 13]].ravel()) + (",word" if i % 5 else ",###") for i, p in enumerate(polygons)]
    path.with_name(f"gt_{path.name}.txt").write_text("\n".join(lines))


def msra_td500_label(path: Path, polygons: list[np.ndarray]) -> None:
    boxes = [(*p.min(axis=0), *np.ptp(p, axis=0)) for p in polygons]
    lines = [f"{i} {int(i % 5 == 0)} {x:g} {y:g} {w:g} {h:g} 0.2" for i, (x, y, w, h) in enumerate(boxes)]
    path.with_suffix(".gt").write_text("\n".join(lines))


def total_text_label(path: Path, polygons: list[np.ndarray]) -> None:
    instances = [Instance(p, "", "word" if i % 5 else "#", "c") for i, p in enumerate(polygons)]
    path.with_name(f"poly_gt_{path.name}.txt").write_text(total_text.write_text(instances))


def total_text_mat(path: Path, polygons: list[np.ndarray]) -> None:
    rows = np.empty((len(polygons), 6), dtype=object)
    for i, (x, y) in enumerate(p.T.astype(np.int16) for p in polygons):
        rows[i] = ["x:", x[None], "y:", y[None], "word" if i % 5 else "#", "c"]
    scipy.io.savemat(path.with_name(f"poly_gt_{path.name}.mat"), {"polygt": rows})


WRITERS: dict[str, Callable[[Path, list[np.ndarray]], None]] = {
    "ctw1500": ctw1500_label,
    "total_text": total_text_label,
    "total_text (.mat)": total_text_mat,
    "icdar2015": icdar2015_label,
    "msra_td500": msra_td500_label,
}


def write_test_set(root: Path, name: str, images: int, instances: int) -> None:
    """Ground truth and results; three quarters of the results are shifted ground truth."""
    rng = np.random.default_rng(0)
    protocol, results = name.split()[0], {}
    (root / "gt").mkdir()
    for i in range(images):
        polygons = stripes(rng, instances)
        WRITERS[name](root / "gt" / f"img_{i}", polygons)
        shifted = [p + rng.integers(-4, 5, 2) for p in polygons[: instances * 3 // 4]]
        found = shifted + stripes(rng, instances - len(shifted))
        results[f"img_{i}"] = [p[[0, 6, 7, 13]] if protocol == "icdar2015" else p for p in found]
    eval.write_results(protocol, root / "pred", results)


def times(name: str, images: int, instances: int, runs: int) -> Iterator[float]:
    """Processor time of each run, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        write_test_set(Path(folder), name, images, instances)
        for _ in range(runs):
            start = time.process_time()
            eval.evaluate(name.split()[0], Path(folder) / "gt", Path(folder) / "pred")
            yield time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--instances", type=int, default=20, help="ground truths, and detections, of an image")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    for name in WRITERS:
        seconds = list(times(name, args.images, args.instances, args.runs))
        middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{name:<18} {middle:.2f} s (median of {args.runs}; {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
