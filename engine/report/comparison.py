"""Comparison of results on the same images: what became better or worse, and how sure a difference is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

import eval
from errors import InputError
from files import read_text

RESAMPLES, LEVEL, SEED = 9999, 0.95, 0
LISTED = 10  # images that are printed of those that became better, and of those that became worse
SCORES = ("precision", "recall", "hmean")
COUNTS = ("ground_truth", "predictions", "true_positives")
CREDITS = ("recall_credits", "precision_credits")  # of Total-Text
CHANGED = 1e-9  # smaller differences of hmean are rounding
_MOST = 256 << 20  # bytes of a results.json


class Results(NamedTuple):
    """Scores of one set of results.

    Attributes:
        name: path by which the user calls it.
        summary: as from `eval.evaluate`, `test.py` or `python -m eval --json`.
        files: folder or zip of the result files; None if unknown.
        ground_truth: folder or zip of the ground truth; None if unknown.
    """

    name: str
    summary: Mapping[str, Any]
    files: Path | None
    ground_truth: Path | None

    @property
    def images(self) -> list[str]:
        return sorted(self.summary["per_image"])

    def counts(self) -> np.ndarray:
        """(n, 4) by image: ground truths, predictions, numerators of recall and of precision."""
        rows = [self.summary["per_image"][name] for name in self.images]
        credits = [[row["true_positives"] + row.get(credit, 0) for credit in CREDITS] for row in rows]
        return np.array([[row["ground_truth"], row["predictions"], *own] for row, own in zip(rows, credits)], float)


class Difference(NamedTuple):
    """Difference of the second of two sets of results from the first.

    Attributes:
        hmean: difference of the pooled hmean.
        low, high: its bootstrap interval over images, at LEVEL; None for a single image.
        effects: image -> how the pooled hmean of the first changes if this image has the result of the second.
    """

    hmean: float
    low: float | None
    high: float | None
    effects: dict[str, float]

    @property
    def better(self) -> list[str]:
        """Images that raise hmean, those that raise it most first."""
        return sorted(
            (name for name, effect in self.effects.items() if effect > CHANGED), key=lambda n: -self.effects[n]
        )

    @property
    def worse(self) -> list[str]:
        """Images that lower hmean, those that lower it most first."""
        return sorted((name for name, effect in self.effects.items() if effect < -CHANGED), key=self.effects.get)

    def __str__(self) -> str:
        interval = "" if self.low is None else f", {LEVEL:.0%} interval {self.low:+.4f} to {self.high:+.4f}"
        better, worse = len(self.better), len(self.worse)
        images = f"{better} images better, {worse} worse, {len(self.effects) - better - worse} the same"
        return f"hmean {self.hmean:+.4f}{interval}; {images}"


def read_results(
    path: str, protocol: str | None = None, ground_truth: str | None = None, variant: str | None = None
) -> Results:
    """Scores of a work dir of test.py, of a results.json, or of a folder or zip of result files, which are scored.

    Args:
        protocol, ground_truth, variant: needed for result files; for scores, they must be those of the options.

    Raises:
        InputError: nothing to read, scores of another kind, or options that do not fit.
    """
    place = Path(path)
    scores = place / "results.json" if place.is_dir() else place
    if scores.suffix != ".json" or not scores.is_file():
        if protocol is None or ground_truth is None:
            raise InputError(f"{path}: holds no results.json of test.py; for result files, give --protocol and --gt")
        return Results(path, eval.evaluate(protocol, ground_truth, path, variant), place, Path(ground_truth))
    summary = _read_summary(scores)
    for key, wanted in (("protocol", protocol), ("variant", variant)):
        if wanted not in (None, summary[key]):
            raise InputError(
                f"{scores}: is of the {key} {summary[key]}, not {wanted}; test again, or leave --{key} out"
            )
    files, labels = (Path(str(summary[key])) if key in summary else None for key in ("result_path", "labels"))
    return Results(path, summary, files, Path(ground_truth) if ground_truth else labels)


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(read_text(path, _MOST))
        valid = _is_summary(summary)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise InputError(f"{path}: holds no scores of a text detector by image; give what test.py writes")
    return summary


def _is_summary(summary: Any) -> bool:
    rows = list(summary["per_image"].values())
    numbers = [content[key] for content in (summary, *rows) for key in (*SCORES, *COUNTS)]
    numbers += [row.get(key, 0) for row in rows for key in CREDITS]
    known = summary["variant"] in eval.PROTOCOLS[summary["protocol"]].variants
    return known and bool(rows) and all(type(value) in (int, float) and 0 <= value < math.inf for value in numbers)


def check_comparable(results: Sequence[Results]) -> None:
    """Checks that all results are of the same images by the same rule.

    Raises:
        InputError: names the first that differs, and how.
    """
    first = results[0]
    for other in results[1:]:
        for key in ("protocol", "variant"):
            if first.summary[key] != other.summary.get(key):
                raise InputError(
                    f"{other.name}: is of the {key} {other.summary.get(key)}, {first.name} of {first.summary[key]}; "
                    "score both by the same"
                )
        odd = sorted(set(first.images) ^ set(other.images))
        if odd:
            raise InputError(
                f"{other.name}: has other images than {first.name} ({len(odd)} are in one alone, such as {odd[0]}); "
                "test both on the same split"
            )


def difference(first: Results, second: Results) -> Difference:
    """The paired difference of two comparable sets of results.

    The interval is the percentile bootstrap: images are drawn with replacement, the same for both, and their counts
    are pooled.
    """
    counts = np.stack([first.counts(), second.counts()])  # (2, n, 4)

    def gain(images: np.ndarray, axis: int = -1) -> np.ndarray:
        pooled = counts[:, images.astype(int)].sum(axis=-2)  # (2, ..., 4)
        before, after = pooled_hmean(pooled)
        return after - before

    names = np.arange(counts.shape[1])
    low = high = None
    if len(names) > 1:
        options = dict(n_resamples=RESAMPLES, batch=max(1, 2**20 // len(names)), confidence_level=LEVEL)
        found = stats.bootstrap((names,), gain, vectorized=True, method="percentile", random_state=SEED, **options)
        low, high = map(float, found.confidence_interval)
    pooled = counts[0].sum(axis=0)
    effects = pooled_hmean(pooled - counts[0] + counts[1]) - pooled_hmean(pooled)
    return Difference(float(gain(names)), low, high, dict(zip(first.images, effects.tolist())))


def pooled_hmean(counts: np.ndarray) -> np.ndarray:
    """Pooled hmean (...) of counts (..., 4), see Results.counts."""
    truths, predictions, found, true = np.moveaxis(counts, -1, 0)
    precision, recall = _ratios(true, predictions), _ratios(found, truths)
    return _ratios(2 * precision * recall, precision + recall)


def _ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def comparison_lines(results: Sequence[Results]) -> Iterator[str]:
    """The scores, and of each pair the difference and the images that changed most."""
    summary = results[0].summary
    yield f"{summary['protocol']} {summary['variant']}, {len(results[0].images)} images"
    width = max(len(one.name) for one in results)
    yield "  ".join([" " * width, *(f"{name:>9}" for name in SCORES)])
    for one in results:
        yield "  ".join([f"{one.name:<{width}}", *(f"{one.summary[name]:9.4f}" for name in SCORES)])
    for first, second in combinations(results, 2):
        found = difference(first, second)
        yield f"{second.name} against {first.name}: {found}"
        for what, images in (("better", found.better), ("worse", found.worse)):
            for name in images[:LISTED]:
                before, after = (one.summary["per_image"][name]["hmean"] for one in (first, second))
                yield f"  {what:<6}  {found.effects[name]:+.4f}  {name}  hmean {before:.3f} -> {after:.3f}"
            if len(images) > LISTED:
                yield f"  {what:<6}  and {len(images) - LISTED} more"
