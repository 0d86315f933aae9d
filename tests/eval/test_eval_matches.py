"""Matches of each image, and scores of detections in memory: the same as those of the files that are written."""

import numpy as np
import pytest

from annotations import Instance, total_text
from eval import PROTOCOLS, evaluate, judge, sweep, write_results
from eval.formats import GroundTruth
from files import composed
from reference.protocols import box, score

CASES = [(name, variant) for name, protocol in PROTOCOLS.items() for variant in protocol.variants]
THRESHOLDS = [0.0, 0.25, 0.5, 0.75, 0.9]


def label_line(protocol: str, polygon: np.ndarray, ignored: bool) -> str:
    """A box (4, 2), as the ground truth of a benchmark writes it."""
    (left, top), (right, bottom) = polygon[0], polygon[2]
    if protocol == "ctw1500":
        ring = np.repeat(polygon, [4, 4, 3, 3], axis=0) - (left, top)
        return ",".join(f"{v:g}" for v in (left, top, right, bottom, *ring.ravel()))
    if protocol == "total_text":
        return total_text.write_text([Instance(polygon, "", "#" if ignored else "word", "c")]).strip()
    if protocol == "icdar2015":
        return ",".join(f"{v:g}" for v in polygon.ravel()) + (",###" if ignored else ",word")
    return f"0 {int(ignored)} {left:g} {top:g} {right - left:g} {bottom - top:g} 0"


def moved(rng: np.random.Generator, polygon: np.ndarray) -> np.ndarray:
    """A detection near a text: shifted, and of another length."""
    return polygon + rng.normal(0, 1.5, 2) + np.array([(0, 0), (1, 0), (1, 0), (0, 0)]) * rng.uniform(-25, 5)


@pytest.fixture(scope="module")
def images() -> dict[str, tuple[list, np.ndarray, list]]:
    """Image id -> texts, flags of those to ignore, and detections (polygon, score): doubled, wide, split, missed."""
    rng, made = np.random.default_rng(3), {}
    for number in range(8):
        corners = [(x, y) for x in (10, 90, 170) for y in (10, 30, 50)]
        texts = [box(x, y, x + 60, y + 12) for x, y in corners][: number + 1]
        detections = [moved(rng, text) for text in texts for _ in range(rng.integers(0, 3))]
        detections += [box(8, 8, 152, 23), box(10.4, 30, 38, 42), box(41, 30, 70, 42)][: number % 4]
        scored = [(polygon, float(rng.uniform())) for polygon in detections]
        made[f"é{number}"] = texts, rng.uniform(size=len(texts)) < 0.2, scored
    return made


@pytest.fixture(params=CASES, ids="-".join)
def benchmark(request, images, tmp_path):
    """Protocol, variant, folder of its labels, and the ground truth that is read from there."""
    protocol, variant = request.param
    rules = PROTOCOLS[protocol]
    suffix = ".txt" if ".txt" in rules.ground_truth.parsers else ".gt"
    for name, (texts, ignored, _) in images.items():
        lines = [label_line(protocol, *both) for both in zip(texts, ignored)]
        (tmp_path / f"{rules.ground_truth.prefixes[0]}{name}{suffix}").write_text("\n".join(lines), encoding="utf-8")
    return protocol, variant, tmp_path, rules.read_ground_truth(tmp_path)


def test_detections_in_memory_score_as_their_files_with_every_threshold(benchmark, images, tmp_path):
    protocol, variant, labels, truth = benchmark
    results = {name: scored for name, (_, _, scored) in images.items() if name != "é1"}
    swept = sweep(protocol, truth, results, THRESHOLDS, variant)
    distinct = set()
    for row, threshold in zip(swept, THRESHOLDS):
        kept = {name: [polygon for polygon, s in scored if s >= threshold] for name, scored in results.items()}
        write_results(protocol, tmp_path / "results", kept)
        summary = evaluate(protocol, labels, tmp_path / "results", variant, only=kept)
        assert judge(protocol, truth, kept, variant).summary() == summary
        assert row == {"min_score": threshold} | {key: summary[key] for key in row.keys() - {"min_score"}}
        distinct.add(row["hmean"])
    assert len(distinct) == len(THRESHOLDS) and {"precision", "recall", "true_positives"} <= row.keys()


def test_what_is_shown_of_each_image_adds_up_to_the_counts(benchmark, images):
    protocol, variant, _, truth = benchmark
    results = {name: [polygon for polygon, _ in scored] for name, (_, _, scored) in images.items()}
    scorer = judge(protocol, truth, results, variant)
    summary = scorer.summary()
    for name, matches in scorer.matches.items():
        row = summary["per_image"][name]
        assert (matches.wanted.sum(), matches.judged.sum()) == (row["ground_truth"], row["predictions"])
        assert not (matches.found & ~matches.wanted).any() and not (matches.true & ~matches.judged).any()
        numerator = row["true_positives"] + row.get("recall_credits", 0)
        assert matches.recall_credits.sum() == pytest.approx(numerator)
        if protocol != "total_text":
            assert matches.found.sum() == row["true_positives"]
        if protocol in ("ctw1500", "icdar2015") or variant == "iou":
            assert matches.true.sum() == row["true_positives"]
        areas = scorer_areas(truth[name], results[name])
        assert all(areas[pair] > 0.4 for pair in map(tuple, matches.pairs)) or protocol == "total_text"
        assert all(areas[pair] > 0 for pair in map(tuple, [*matches.pairs, *matches.parts]))
    ignoring = protocol in ("total_text", "icdar2015")
    assert any((~m.judged).any() for m in scorer.matches.values()) == ignoring
    assert any(len(m.parts) for m in scorer.matches.values()) == (protocol == "total_text" and variant != "iou")


def scorer_areas(truth: GroundTruth, predictions: list) -> np.ndarray:
    """IoU (n, m) of boxes, by hand."""

    def bounds(polygons):
        return np.array([(*np.rint(p).min(axis=0), *np.rint(p).max(axis=0)) for p in polygons]).reshape(-1, 4)

    a, b = bounds(truth.polygons)[:, None], bounds(predictions)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    return shared / ((a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared)


def pairs(protocol, variant, texts, detections, ignored=None):
    scorer = PROTOCOLS[protocol].scorer(variant)
    score(scorer, texts, detections, ignored)
    matches = scorer.matches["1"]
    return matches.pairs.tolist(), matches.parts.tolist(), matches.found.tolist(), matches.true.tolist()


def line(start, end):
    return box(start, 0, end, 10)


def test_who_matches_whom_by_hand():
    texts, found = [line(0, 100), line(40, 140)], [line(20, 120), line(0, 100)]
    # The first text takes the first detection of enough IoU, 80 / 120; the second is left with 60 / 140.
    assert pairs("icdar2015", "official", texts, found) == ([[0, 0]], [], [True, False], [True, False])
    # Both detections overlap the first text best, the earlier one has it.
    assert pairs("ctw1500", "official", texts, found) == ([[0, 0]], [], [True, False], [True, False])
    # The first detection covers both texts and counts once, for the one that it overlaps best.
    near = [line(0, 98), line(0, 101)]
    assert pairs("ctw1500", "kkdnet", near, [line(0, 100)]) == ([[1, 0]], [], [False, True], [True])
    assert pairs("msra_td500", "official", texts, found)[0] == [[0, 0], [1, 0]]
    split, merged = pairs("total_text", "official", [line(0, 100)], [line(0, 50), line(50, 100)]), [[0, 0], [1, 0]]
    assert split == ([], [[0, 0], [0, 1]], [True], [True, True])
    assert pairs("total_text", "official", [line(0, 50), line(50, 100)], [line(0, 100)])[1] == merged


def test_numbers_are_those_of_the_files_where_some_are_ignored():
    texts, found = [line(0, 50), line(60, 90), line(100, 200)], [line(0, 50), line(300, 400), line(100, 200)]
    for protocol in ("icdar2015", "total_text"):
        result = pairs(protocol, "official", texts, found, [True, False, False])
        assert result == ([[2, 2]], [], [False, False, True], [False, False, True])


def test_names_are_composed():
    decomposed = "e\u0301"
    truth = {composed(decomposed): GroundTruth([line(0, 50)], np.zeros(1, bool))}
    assert judge("ctw1500", truth, {decomposed: [line(0, 50)]}).summary()["hmean"] == 1
