"""Scoring a test set, reading its files included, against Polygon3 and one pair at a time: `scoring.py`."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from harness import Row, compare, main
from hypothesis.errors import HypothesisDeprecationWarning

import eval
from annotations import Instance, total_text
from reference import protocols
from reference.protocol_counts import ctw1500_counts, deteval, msra_td500_counts

IMAGES, INSTANCES = 500, 20  # ground truths, and detections, of an image
FEW = 10  # images that the reference scores as well
BAND = np.stack([np.linspace(0, 1, 7), 0.3 * np.sin(np.linspace(0, 3, 7))], axis=1)
BAND = np.concatenate([BAND, BAND[::-1] + np.array([0, 0.3])])  # a bent stripe of 14 points

ANGLE = 0.2  # of the boxes of MSRA-TD500, in radians


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
    lines = [f"{i} {int(i % 5 == 0)} {x:g} {y:g} {w:g} {h:g} {ANGLE}" for i, (x, y, w, h) in enumerate(boxes)]
    path.with_suffix(".gt").write_text("\n".join(lines))


def turned_box(polygon: np.ndarray) -> np.ndarray:
    """The corners (4, 2) of the box that `msra_td500_label` writes of a polygon."""
    centre, sides = (polygon.min(axis=0) + polygon.max(axis=0)) / 2, np.ptp(polygon, axis=0)
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    return centre + [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)] * sides @ [(cos, sin), (-sin, cos)]


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


FOUND = {"icdar2015": lambda polygon: polygon[[0, 6, 7, 13]], "msra_td500": turned_box}  # of other than polygons


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
        results[f"img_{i}"] = [FOUND.get(protocol, np.asarray)(polygon) for polygon in found]
    eval.write_results(protocol, root / "pred", results)


class Sure(protocols.Oracle):
    """Polygon3, with every comparison trusted: nothing here is made to lie on a threshold."""

    def areas(self, image: protocols.Image) -> protocols.SlowAreas:
        truths, found = image.ground_truth, image.predictions
        shared = [[self.overlap(g, d) for d in found] for g in truths]
        return protocols.SlowAreas(*([self.overlap(p, p) for p in ps] for ps in (truths, found)), shared)

    def _sure(self, value: float, other: float) -> None:
        pass


ORACLE = Sure(protocols.polygon3_overlap, ties=True)
RULES: dict[tuple[str, str], Callable] = {  # protocol and variant: (image, areas, oracle) to what is expected
    ("ctw1500", "official"): lambda image, areas, oracle: ctw1500_counts(image, areas, "official", oracle),
    ("ctw1500", "kkdnet"): lambda image, areas, oracle: ctw1500_counts(image, areas, "kkdnet", oracle),
    ("total_text", "official"): lambda image, areas, oracle: deteval(image, areas, 0.8, oracle),
    ("total_text (.mat)", "official"): lambda image, areas, oracle: deteval(image, areas, 0.8, oracle),
    ("total_text", "iou"): protocols.slow_one_to_one_in_file_order,
    ("icdar2015", "official"): protocols.slow_one_to_one_in_file_order,
    ("msra_td500", "official"): lambda image, areas, oracle: msra_td500_counts(image, areas, 0.5, oracle),
}


def slow_scores(protocol: str, rule: Callable, root: Path) -> protocols.Expected:
    """Matches that the reference finds in all images of a test set."""
    rules = eval.PROTOCOLS[protocol]
    found, expected = rules.results.read(root / "pred"), []
    for name, truth in rules.ground_truth.read(root / "gt").items():
        image = protocols.Image(truth.polygons, list(truth.ignored), found[name])
        expected.append(rule(image, ORACLE.areas(image), ORACLE))
    return protocols.Expected(*map(sum, zip(*expected)))


def same(ours: dict[str, Any], reference: protocols.Expected) -> str:
    for name, value in reference.scores().items():
        assert ours[name] == value, f"{name}: {ours[name]}, the reference has {value}"
    return f"precision, recall, hmean ({ours['hmean']:.3f}) to 1e-9"


def measure() -> list[Row]:
    warnings.simplefilter("ignore", HypothesisDeprecationWarning)  # the references are also rules of property tests
    rows = []
    for (name, variant), rule in RULES.items():
        protocol = name.split()[0]
        with tempfile.TemporaryDirectory() as many, tempfile.TemporaryDirectory() as few:
            write_test_set(Path(many), name, IMAGES, INSTANCES)
            write_test_set(Path(few), name, FEW, INSTANCES)
            start = time.perf_counter()
            eval.evaluate(protocol, Path(many) / "gt", Path(many) / "pred", variant)
            seconds = time.perf_counter() - start
            ours = partial(eval.evaluate, protocol, Path(few) / "gt", Path(few) / "pred", variant)
            reference = partial(slow_scores, protocol, rule, Path(few))
            work = f"scoring {name}, {variant}: {FEW} images of {INSTANCES} ({IMAGES} images: {seconds:.2f} s)"
            rows.append(compare(work, ours, reference, same, seconds=1))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
