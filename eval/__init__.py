"""Scores of text detectors, one module a protocol. ``python -m eval PROTOCOL --gt .. --pred ..`` runs one."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errors import InputError
from eval import ctw1500, icdar2015, msra_td500, total_text
from eval.formats import GroundTruth, GroundTruthFormat, ResultFormat
from eval.geometry import Areas
from eval.scorer import Scorer
from files import composed


class Protocol(NamedTuple):
    """Scorer and file formats of a benchmark.

    Attributes:
        scorer: class that takes the variant; has update(image_id, ground truth, predictions, ignored) and summary().
        ground_truth: format of its ground truth files.
        results: format of its result files.
        bbox_types: shapes of detections that result files can hold, the usual one first: 'poly' (outer contour) or
            'rect' (minimum-area rectangle).
    """

    scorer: type[Scorer]
    ground_truth: GroundTruthFormat
    results: ResultFormat
    bbox_types: tuple[str, ...]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants; the first is the benchmark's official rule and the default."""
        return self.scorer.variants

    def read_ground_truth(self, path: str | Path) -> dict[str, GroundTruth]:
        """Image id -> ground truth, from a folder or zip.

        Raises:
            InputError: nothing to read, or a file that cannot be read.
        """
        return self.ground_truth.read(path)


PROTOCOLS = {
    "ctw1500": Protocol(ctw1500.CTW1500, ctw1500.GROUND_TRUTH, ctw1500.RESULTS, ("poly", "rect")),
    "total_text": Protocol(total_text.TotalText, total_text.GROUND_TRUTH, total_text.RESULTS, ("poly", "rect")),
    "icdar2015": Protocol(icdar2015.ICDAR2015, icdar2015.GROUND_TRUTH, icdar2015.RESULTS, ("rect",)),
    "msra_td500": Protocol(msra_td500.MSRATD500, msra_td500.GROUND_TRUTH, msra_td500.RESULTS, ("rect", "poly")),
}


def _refuse(what: str, name: str, known: Iterable[str]) -> InputError:
    known = tuple(known)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f": did you mean {close[0]}?" if close else ""
    return InputError(f"{what} {name!r} is unknown (there is {', '.join(known)}){hint}")


def _rules(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        raise _refuse("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]


def write_results(protocol: str, path: str | Path, results: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write detections in the format in which a benchmark takes them.

    Args:
        protocol: a key of ``PROTOCOLS``.
        path: a zip if it ends in ``.zip``, else a folder; an earlier one is replaced once all is written.
        results: image id -> (points, 2) polygons, x and y in pixels of the original image.

    Raises:
        InputError: an unknown protocol, or a place that cannot be written.
        ValueError: polygons that the format cannot hold, such as other than 4 points for ICDAR2015.
    """
    _rules(protocol).results.write(path, results)


def evaluate(
    protocol: str,
    gt_path: str | Path,
    pred_path: str | Path,
    variant: str | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Score result files against ground truth.

    Args:
        protocol: a key of ``PROTOCOLS``.
        gt_path: folder or zip of ground truth files.
        pred_path: folder or zip of result files.
        variant: a rule the protocol knows; None takes the official one.
        only: ids of the images to score; None for all that have ground truth.

    Returns:
        At least ``protocol``, ``variant``, ``precision``, ``recall``, ``hmean`` (0 to 1) and ``per_image``. Where a
        protocol lets one prediction find several texts, precision can pass 1: see docs/evaluation.md.

    Raises:
        InputError: an unknown name, a missing folder, a file that cannot be read or that has no ground truth.
    """
    scorer = _scorer(protocol, variant)
    rules = PROTOCOLS[protocol]
    ground_truth = rules.ground_truth.read(gt_path)
    results = rules.results.read(pred_path)
    strangers = [name for name in results if name not in ground_truth]
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        name = rules.results.file_name(strangers[0])
        raise InputError(f"{pred_path}: {name}{more} without ground truth of that name in {gt_path}")
    only = None if only is None else set(map(composed, only))
    for image_id, truth in ground_truth.items():
        if only is None or image_id in only:
            scorer.update(image_id, truth.polygons, results.get(image_id), truth.ignored)
    return scorer.summary()


def judge(
    protocol: str,
    ground_truth: Mapping[str, GroundTruth],
    results: Mapping[str, Sequence[np.ndarray]],
    variant: str | None = None,
) -> Scorer:
    """Score detections in memory, as `evaluate` does the files to which they would be written.

    Args:
        protocol, variant: as for `evaluate`.
        ground_truth: image id -> ground truth, from `Protocol.read_ground_truth`.
        results: image id -> (points, 2) polygons, in file order, of the images to score.

    Returns:
        The scorer, with the matches of each image.

    Raises:
        InputError: an unknown name, or more shapes than can be compared.
    """
    scorer = _scorer(protocol, variant)
    for image_id, truth, found in _images(ground_truth, results):
        scorer.update(image_id, truth.polygons, list(map(ResultFormat.as_read, found)), truth.ignored)
    return scorer


def sweep(
    protocol: str,
    ground_truth: Mapping[str, GroundTruth],
    results: Mapping[str, Sequence[tuple[np.ndarray, float]]],
    thresholds: Sequence[float],
    variant: str | None = None,
) -> list[dict[str, float]]:
    """Score the detections whose scores reach each of several thresholds; see `judge`.

    Args:
        results: image id -> (polygon, score) of its detections, in file order.
        thresholds: lowest scores.

    Returns:
        For each threshold a dict of ``min_score``, the scores and the counts.
    """
    scorer = _scorer(protocol, variant)
    pooled = [scorer.counts() for _ in thresholds]
    for _, truth, found in _images(ground_truth, results):
        areas = Areas.of(truth.polygons, [ResultFormat.as_read(polygon) for polygon, _ in found])
        scores = np.array([score for _, score in found], float)
        everything, known = np.ones(len(truth.polygons), bool), {}
        for place, threshold in enumerate(thresholds):
            kept = scores >= threshold
            if (number := int(kept.sum())) not in known:  # the same number: the same detections
                known[number] = scorer.count(scorer.match(areas.select(everything, kept), truth.ignored))
            pooled[place] += known[number]
    return [{"min_score": float(least), **counts.as_dict()} for least, counts in zip(thresholds, pooled)]


def _scorer(protocol: str, variant: str | None) -> Scorer:
    rules = _rules(protocol)
    variant = variant or rules.variants[0]
    if variant not in rules.variants:
        raise _refuse(f"{protocol}: variant", variant, rules.variants)
    return rules.scorer(variant)


def _images(ground_truth: Mapping[str, GroundTruth], results: Mapping[str, Any]) -> Iterator[tuple]:
    """Image id, ground truth and result of the images that have a result, in the order of the ground truth."""
    results = {composed(image_id): found for image_id, found in results.items()}
    return ((image_id, truth, results[image_id]) for image_id, truth in ground_truth.items() if image_id in results)
