"""Scores of COCO results, against pycocotools and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coco_scores import (
    NAMES,
    SIZE,
    ellipse,
    one_image,
    random_results,
    random_truth,
    result,
    write,
)
from conftest import ROOT
from faster_coco_eval.core import mask as mask_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from errors import InputError
from eval.coco import encode_masks, evaluate

REAL = ROOT.parent / "shared" / "data" / "coco" / "annotations"


def oracle(gt: Path, results: list[dict], variant: str, only: list[int] | None = None) -> dict:
    """pycocotools on the same data."""
    truth = COCO(str(gt))
    scorer = COCOeval(truth, truth.loadRes(results), variant)
    if only is not None:
        scorer.params.imgIds = only
    scorer.evaluate()
    scorer.accumulate()
    scorer.summarize()
    precision = scorer.eval["precision"][:, :, :, 0, -1]
    classes = {truth.cats[c]["name"]: precision[:, :, k] for k, c in enumerate(scorer.params.catIds)}
    per_class = {name: p[p > -1].mean() if (p > -1).any() else None for name, p in classes.items()}
    return {**{n: None if v == -1 else v for n, v in zip(NAMES, scorer.stats)}, "per_class": per_class}


def assert_same(scores: dict, expected: dict) -> None:
    for name in NAMES:
        assert scores[name] == (None if expected[name] is None else pytest.approx(expected[name], abs=1e-6)), name
    assert scores["per_class"].keys() == expected["per_class"].keys()
    for name, value in expected["per_class"].items():
        assert scores["per_class"][name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


# --- against pycocotools


@pytest.mark.parametrize("seed", range(6))
def test_boxes_as_pycocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images=12)
    results = random_results(rng, truth)
    gt, path = write(tmp_path, truth, results)
    scores = evaluate(gt, path)
    assert_same(scores, oracle(gt, results, "bbox"))
    assert scores["per_class"]["emu"] is None and 0.1 < scores["ap"] < 0.9
    assert (scores["protocol"], scores["variant"], scores["images"]) == ("coco", "bbox", 12)
    some = [image["id"] for image in truth["images"][::3]]
    part = evaluate(gt, path, only=some)
    assert_same(part, oracle(gt, results, "bbox", some))
    assert part["images"] == 4 and part["ap"] != scores["ap"]


@pytest.mark.parametrize("seed", range(2))
def test_more_than_a_hundred_detections(tmp_path, seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images=2)
    results = [r for _ in range(40) for r in random_results(rng, truth)]
    gt, path = write(tmp_path, truth, results)
    assert len(results) > 300
    assert_same(evaluate(gt, path), oracle(gt, results, "bbox"))


@pytest.mark.parametrize("seed", range(4))
def test_masks_as_pycocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images=8)
    for entry in truth["annotations"][::3]:  # masks may be polygons or plain run lengths too
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w, y, x + w / 2, y + h], [x, y, x + 3, y, x, y + 3]]
    for entry in truth["annotations"][1::3]:
        columns = ellipse(entry["bbox"]).T.ravel()
        ends = np.flatnonzero(np.diff(columns)) + 1
        counts = np.diff([0, *ends, columns.size]).tolist()
        entry["segmentation"] = {"size": list(SIZE), "counts": [0, *counts] if columns[0] else counts}
    results = [
        {**r, "segmentation": encode_masks(ellipse(r["bbox"])[None])[0], "bbox": [0, 0, 1, 1]}
        for r in random_results(rng, truth)
    ]
    gt, path = write(tmp_path, truth, results)
    without_boxes = [{k: v for k, v in r.items() if k != "bbox"} for r in results]  # its areas are those of masks then
    scores = evaluate(gt, path, "segm")
    assert_same(scores, oracle(gt, without_boxes, "segm"))
    assert scores["variant"] == "segm" and scores["ap"] > 0.1


@pytest.mark.skipif(not REAL.is_dir(), reason="no COCO samples here")
@pytest.mark.parametrize("variant", ["bbox", "segm"])
def test_real_annotations_as_pycocotools(tmp_path, variant):
    gt = REAL / "instances_val2017.json"
    truth, rng = json.loads(gt.read_text()), np.random.default_rng(0)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    assert any(a["iscrowd"] for a in truth["annotations"])
    results = []
    for a in truth["annotations"]:
        if isinstance(a["segmentation"], list):
            encoded = mask_codec.merge(mask_codec.frPyObjects(a["segmentation"], *sizes[a["image_id"]]))
            mask = np.roll(mask_codec.decode(encoded), rng.integers(-9, 10), axis=1)
            result = {"image_id": a["image_id"], "category_id": a["category_id"], "score": rng.random()}
            results.append({**result, "segmentation": encode_masks(mask[None])[0]})
            if variant == "bbox":
                results[-1]["bbox"] = [v + d for v, d in zip(a["bbox"], rng.uniform(0, 6, 4))]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert_same(evaluate(gt, tmp_path / "results.json", variant), oracle(gt, results, variant))


# --- by hand


@pytest.mark.parametrize(
    ("boxes", "results", "ap"),
    [
        # All annotations bear the id 0, which the evaluator by itself would take for "no match".
        ([[0, 0, 40, 40]], [result([0, 0, 40, 40])], 1.0),
        ([[0, 0, 40, 40]], [result([0, 0, 40, 30])], 0.6),  # IoU 0.75: found at 0.5 ... 0.75
        ([[0, 0, 40, 40]], [result([0, 0, 40, 40], 0.4), result([99, 0, 40, 40], 0.6)], 0.5),
        ([[0, 0, 40, 40], [99, 0, 40, 40]], [result([0, 0, 40, 40])], 51 / 101),  # recalls 0 ... 0.5
        ([[0, 0, 40, 40]], [], 0.0),
        ([], [result([0, 0, 40, 40])], None),
    ],
)
def test_hand_computed(tmp_path, boxes, results, ap):
    scores = evaluate(*write(tmp_path, one_image(boxes), results))
    expected = None if ap is None else pytest.approx(ap, abs=1e-9)
    assert scores["ap"] == expected and scores["per_class"] == {"dog": expected}
    assert scores["ap_medium"] == expected and scores["ap_small"] is None and scores["ap_large"] is None
    json.dumps(scores)  # plain numbers


def test_crowds_neither_reward_nor_punish(tmp_path):
    crowd = one_image([[0, 0, 100, 100]], iscrowd=1)
    assert evaluate(*write(tmp_path, crowd, [result([0, 0, 20, 20])]))["ap"] is None
    both = one_image([[0, 0, 100, 100], [120, 0, 50, 50]])
    both["annotations"][0]["iscrowd"] = 1
    inside = [result([10 * i, 10 * i, 20, 20], 0.9) for i in range(5)]
    assert evaluate(*write(tmp_path, both, [*inside, result([120, 0, 50, 50], 0.1)]))["ap"] == pytest.approx(1)


def test_no_images(tmp_path):
    paths = write(tmp_path, one_image([[0, 0, 9, 9]]), [result([0, 0, 9, 9])])
    scores = evaluate(*paths, only=[])
    assert scores["images"] == 0 and scores["ap"] is None
    with pytest.raises(InputError, match=r"gt\.json: has no image 4, one of 2"):
        evaluate(*paths, only=[3, 4, 5])
