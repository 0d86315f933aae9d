"""Comparison of results: paired differences by hand, their intervals, and what cannot be compared."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_script

from engine.report.comparison import Results, check_comparable, difference, read_results
from errors import InputError
from eval import evaluate, write_results
from eval.files import write_json
from reference.protocols import box

TEXTS = [box(x, 10, x + 30, 22) for x in (10, 50, 90)]
ODD = '"><img src=x onerror=alert(1)>'
NAMES = ["a", "b", ODD]


def results(name: str, *rows: tuple[int, int, int], **credits: list[float]) -> Results:
    """Results of images of so many (ground truths, predictions, true positives)."""
    keys = ("ground_truth", "predictions", "true_positives")
    images = {f"{i:03d}": dict(zip(keys, row)) | {"hmean": 0.5} for i, row in enumerate(rows)}
    for key, values in credits.items():
        for image, value in zip(images.values(), values):
            image[key] = value
    return Results(name, {"protocol": "icdar2015", "variant": "official", "per_image": images}, None, None)


def test_the_difference_and_the_effects_of_images_by_hand():
    before = results("a", (4, 4, 2), (3, 1, 1), (0, 0, 0), (2, 2, 2))
    after = results("b", (4, 4, 3), (3, 5, 1), (0, 2, 0), (2, 2, 2))
    found = difference(before, after)
    assert found.hmean == pytest.approx(2 * 6 / (9 + 13) - 2 * 5 / (9 + 7))
    effects = [2 * 6 / 16 - 10 / 16, 10 / 20 - 10 / 16, 10 / 18 - 10 / 16, 0]
    assert list(found.effects.values()) == pytest.approx(effects)
    assert (found.better, found.worse) == (["000"], ["001", "002"])
    assert str(found).endswith("; 1 images better, 2 worse, 1 the same")


def test_credits_of_parts_count():
    before = results("a", (1, 2, 0), (1, 1, 1), recall_credits=[0.8, 0], precision_credits=[1.6, 0])
    after = results("b", (1, 2, 0), (1, 1, 1), recall_credits=[0, 0], precision_credits=[0, 0])
    precision, recall = 2.6 / 3, 1.8 / 2
    expected = 2 / 3 * 1 / 2 * 2 / (1 / 3 + 1 / 2) / 2 - 2 * precision * recall / (precision + recall)
    assert difference(before, after).hmean == pytest.approx(expected)
    assert difference(before, after).worse == ["000"]


def test_the_interval_is_that_of_all_resamples():
    """Of four images, which can be drawn in 256 ways."""
    before = [(5, 4, 1), (7, 9, 4), (3, 3, 3), (6, 2, 2)]
    after = [(5, 5, 4), (7, 8, 3), (3, 4, 3), (6, 6, 5)]
    found = difference(results("a", *before), results("b", *after))

    def hmean(rows: np.ndarray) -> float:
        truths, predictions, true = rows.sum(axis=0)
        return 2 * true / (truths + predictions)

    drawn = [list(images) for images in product(range(4), repeat=4)]
    gains = [hmean(np.array(after)[images]) - hmean(np.array(before)[images]) for images in drawn]
    for end, low, high in ((found.low, 0.015, 0.035), (found.high, 0.965, 0.985)):
        assert np.quantile(gains, low) <= end <= np.quantile(gains, high)
    assert found == difference(results("a", *before), results("b", *after))  # the same every time


def test_a_small_gain_everywhere_is_seen_though_images_differ_much():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 50, 60)
    before = results("a", *((60, 60, int(t)) for t in true))
    after = results("b", *((60, 60, int(t) + 1) for t in true))
    found = difference(before, after)
    assert found.hmean == pytest.approx(1 / 60) and (found.low, found.high) == pytest.approx((1 / 60, 1 / 60))
    same = difference(before, before)
    assert (same.hmean, same.low, same.high, same.better, same.worse) == (0, 0, 0, [], [])


def test_a_single_image_has_no_interval():
    found = difference(results("a", (1, 1, 0)), results("b", (1, 1, 1)))
    assert (found.hmean, found.low) == (1, None) and "interval" not in str(found)


def test_other_images_protocols_and_variants_are_not_compared():
    first = results("a", (1, 1, 1), (1, 1, 1))
    with pytest.raises(InputError, match=r"b: has other images than a \(1 are in one alone, such as 001\); test both"):
        check_comparable([first, results("b", (1, 1, 1))])
    for key, value in (("protocol", "ctw1500"), ("variant", "kkdnet")):
        other = results("b", (1, 1, 1), (1, 1, 1))
        with pytest.raises(InputError, match=f"b: is of the {key} {value}, a of .*; score both by the same"):
            check_comparable([first, other._replace(summary={**other.summary, key: value})])


@pytest.fixture
def tested(tmp_path) -> Path:
    """Labels, images, and folders A and B as test.py leaves them: B finds one more text, and invents another."""
    for folder in ("labels", "images"):
        (tmp_path / folder).mkdir()
    for name in NAMES:
        lines = [",".join(f"{v:g}" for v in text.ravel()) + ",word" for text in TEXTS]
        (tmp_path / "labels" / f"gt_{name}.txt").write_text("\n".join(lines))
        data = cv2.imencode(".jpg", np.full((60, 140, 3), 180, np.uint8))[1].tobytes()
        (tmp_path / "images" / f"{name}.jpg").write_bytes(data)
    found = {
        "A": {"a": TEXTS[:1], "b": TEXTS[:2], ODD: []},
        "B": {"a": TEXTS[:2], "b": TEXTS[:2], ODD: [TEXTS[0] + 25]},
    }
    for name, polygons in found.items():
        place = tmp_path / name / "submit.zip"
        write_results("icdar2015", place, polygons)
        scores = evaluate("icdar2015", tmp_path / "labels", place)
        paths = {"result_path": str(place), "labels": str(tmp_path / "labels")}
        write_json(tmp_path / name / "results.json", scores | paths)
    return tmp_path


def test_folders_of_test_py_and_result_files_compare_alike(tested):
    page = tested / "page.html"
    options = ["--report", page, "--images", tested / "images"]
    output = run_script("tools/compare.py", tested / "A", tested / "B", *options)
    assert "icdar2015 official, 3 images" in output and "1 images better, 1 worse, 1 the same" in output
    assert re.search(r"better +\+0\.\d+ +a +hmean 0\.500 -> 0\.800", output)
    assert re.search(rf"worse +-0\.\d+ +{re.escape(ODD)} +hmean 0\.000 -> 0\.000", output)
    text = page.read_text()
    assert ODD not in text and text.count('<figure id="image-') == 2
    drawn = {kind: text.count(f'<polygon class="{kind}"') for kind in ("found", "missed", "true", "false")}
    assert drawn == {"found": 3, "missed": 9, "true": 3, "false": 1}  # of a and ODD, in A and in B
    assert text.count("data:image/jpeg") == 4

    files = [tested / name / "submit.zip" for name in "AB"]
    rule = ["--protocol", "icdar2015", "--gt", tested / "labels"]
    again = run_script("tools/compare.py", *files, *rule, "--report", tested / "bare.html")
    assert "1 images better, 1 worse, 1 the same" in again
    assert (tested / "bare.html").read_text().count("<svg") == text.count("<svg")
    assert "data:image/jpeg" not in (tested / "bare.html").read_text()


def test_three_results_are_compared_in_pairs(tested):
    output = run_script("tools/compare.py", tested / "A", tested / "B", tested / "A")
    assert output.count(" against ") == 3 and output.count("0 images better, 0 worse, 3 the same") == 1


def test_mistakes_are_one_line(tested):
    def error(*arguments: object) -> str:
        output = run_script("tools/compare.py", *arguments, code=2)
        assert "Traceback" not in output
        return output.splitlines()[-1]

    a, b = tested / "A", tested / "B"
    assert error(a) == "error: one set of results has nothing to be compared with; give two or more"
    assert f"{tested}/labels: holds no results.json of test.py; for result files, give --protocol and --gt" in error(
        a, tested / "labels"
    )
    assert "results.json: is of the protocol icdar2015, not ctw1500" in error(a, b, "--protocol", "ctw1500")
    assert "--report" in error(a, b, "--report", tested / "page.txt")
    assert "no such folder" in error(a, b, "--report", tested / "p.html", "--images", tested / "none")
    (tested / "images" / "a.jpg").unlink()
    assert "has no image a;" in error(a, b, "--report", tested / "p.html", "--images", tested / "images")
    write_results("icdar2015", b / "submit.zip", dict.fromkeys(NAMES, TEXTS))
    assert "its scores are not those of" in error(a, b, "--report", tested / "p.html")
    (b / "submit.zip").unlink()
    assert "its result files are not in" in error(a, b, "--report", tested / "p.html")
    assert not (tested / "p.html").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda scores: scores.pop("per_image"),
        lambda scores: scores.update(per_image={}),
        lambda scores: scores.update(per_image=[1]),
        lambda scores: scores.update(protocol=["icdar2015"]),
        lambda scores: scores.update(protocol="coco"),
        lambda scores: scores.update(variant="none"),
        lambda scores: scores.update(hmean="high"),
        lambda scores: scores["per_image"]["a"].update(ground_truth=float("nan")),
        lambda scores: scores["per_image"]["a"].update(predictions=-1),
        lambda scores: scores["per_image"]["a"].pop("true_positives"),
        lambda scores: scores["per_image"].update(a=None),
        lambda scores: scores["per_image"]["a"].update(recall_credits=None),
    ],
)
def test_scores_of_another_kind_are_refused(tested, change):
    path = tested / "A" / "results.json"
    scores = json.loads(path.read_text())
    change(scores)
    path.write_text(json.dumps(scores))
    with pytest.raises(InputError, match=r"results.json: holds no scores of a text detector by image"):
        read_results(str(tested / "A"))
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"results.json: holds no scores of a text detector by image"):
        read_results(str(tested / "A"))
