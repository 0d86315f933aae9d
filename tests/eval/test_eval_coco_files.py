"""Result files in COCO format: written, read back and refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from coco_scores import (
    CATEGORIES,
    SIZE,
    ellipse,
    one_image,
    random_truth,
    result,
    write,
)
from conftest import ROOT

from errors import InputError
from eval.coco import decode_mask, encode_masks, evaluate, write_results


def test_written_results_score_the_same(tmp_path):
    rng = np.random.default_rng(0)
    truth = random_truth(rng, images=5)
    gt, path = write(tmp_path, truth, [])
    ids = sorted(CATEGORIES)
    detections = []
    for image in truth["images"]:
        found = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        boxes = np.array([a["bbox"] for a in found], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([ids.index(a["category_id"]) + 1 for a in found], np.int64)
        masks = np.array([ellipse(a["bbox"]) for a in found], bool).reshape(-1, *SIZE)
        scores = rng.random(len(found)).astype(np.float32)
        one = {"boxes": boxes, "labels": labels, "scores": scores, "segmentations": encode_masks(masks)}
        detections.append((image["id"], one))
    write_results(path, (pair for pair in detections), ids)
    entries = json.loads(path.read_text())
    assert len(path.read_text().splitlines()) == len(entries) + 2 == len(truth["annotations"]) + 2
    assert entries[0].keys() == {"image_id", "category_id", "bbox", "score", "segmentation"}
    np.testing.assert_allclose(entries[0]["bbox"], truth["annotations"][0]["bbox"], atol=1e-3)
    for variant in ("bbox", "segm"):
        assert evaluate(gt, path, variant)["ap"] == pytest.approx(1)
    write_results(path, [(i, {k: v for k, v in d.items() if k != "segmentations"}) for i, d in detections], ids)
    assert "segmentation" not in json.loads(path.read_text())[0] and evaluate(gt, path)["ap"] == pytest.approx(1)


def test_writing_nothing(tmp_path):
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}
    for detections in ([], [(3, nothing)]):
        write_results(tmp_path / "new" / "results.json", detections, [5])
        assert json.loads((tmp_path / "new" / "results.json").read_text()) == []
    assert encode_masks(np.zeros((0, 4, 5), bool)) == []


def test_masks_come_back():
    masks = np.random.default_rng(0).random((3, 7, 11)) < 0.5
    encoded = encode_masks(masks)
    assert json.loads(json.dumps(encoded)) == encoded
    assert np.array_equal([decode_mask(e) for e in encoded], masks)


def test_writing_is_complete_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    good = {"boxes": [[0, 0, 1, 1]], "labels": [1], "scores": [0.5]}
    write_results(path, [(3, good)], [5])
    before = path.read_text()
    with pytest.raises(ValueError):
        write_results(path, [(3, good), (4, {**good, "scores": [float("nan")]})], [5])
    assert path.read_text() == before and [p.name for p in tmp_path.iterdir()] == ["results.json"]
    with pytest.raises(InputError, match=r"results\.json/below\.json: cannot be written"):
        write_results(path / "below.json", [], [5])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (result([0, 0, 9, 9], image_id=4), r"result 1: image_id 4 is not in .*gt\.json"),
        (result([0, 0, 9, 9], image_id="3"), "result 1: image_id '3'"),
        (result([0, 0, 9, 9], category_id=1), "result 1: category_id 1 is not in"),
        (result([0, 0, 9, 9], category_id=None), "result 1: category_id None"),
        (result([0, 0, 9, 9], float("nan")), "result 1: score is nan"),
        (result([0, 0, 9, 9], "high"), "result 1: score is 'high'"),
        (result([0, 0, 9]), r"result 1: bbox is \[0, 0, 9\], not x, y, width and height"),
        (result([0, 0, 9, float("inf")]), "result 1: bbox"),
        (result([0, 0, 9, -1]), "result 1: bbox"),
        (result(None), "result 1: bbox is None"),
        ([1], "result 1: is no object"),
    ],
)
def test_bad_results(tmp_path, entry, message):
    paths = write(tmp_path, one_image([[0, 0, 9, 9]]), [result([0, 0, 9, 9]), entry])
    with pytest.raises(InputError, match=message) as caught:
        evaluate(*paths)
    assert str(caught.value).startswith(str(paths[1]))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "result 0: segmentation is no compressed run-length encoding of"),
        ([[0, 0, 9, 0, 9, 9]], "result 0: segmentation"),
        ({"size": [SIZE[1], SIZE[0]], "counts": "0"}, "result 0: segmentation"),
        ({"size": list(SIZE), "counts": "zzzz"}, "result 0: segmentation.counts counts"),
        ({"size": list(SIZE), "counts": "0P"}, "result 0: segmentation.counts counts something else than pixels"),
        (
            {"size": list(SIZE), "counts": "5"},
            "result 0: segmentation.counts counts 5 pixels where the image has 200x260",
        ),
    ],
)
def test_bad_masks(tmp_path, mask, message):
    truth = one_image([[0, 0, 9, 9]], segmentation=[[0, 0, 9, 0, 9, 9, 0, 9]])
    with pytest.raises(InputError, match=message):
        evaluate(*write(tmp_path, truth, [result([0, 0, 9, 9], segmentation=mask)]), "segm")


@pytest.mark.parametrize("counts", ["zzzz", "0P", "5", "", "é", [9, 9, 99999999], [-1], ["a"]])
def test_bad_masks_in_the_ground_truth(tmp_path, counts):
    truth = one_image([[0, 0, 9, 9]], segmentation={"size": list(SIZE), "counts": counts})
    mask = encode_masks(np.ones((1, *SIZE)))[0]
    with pytest.raises(InputError, match=r"gt\.json, annotations\[0\]: segmentation\.counts counts"):
        evaluate(*write(tmp_path, truth, [result([0, 0, 9, 9], segmentation=mask)]), "segm")


def test_bad_files(tmp_path):
    gt, results = write(tmp_path, one_image([]), [])
    with pytest.raises(InputError, match="variant 'keypoints' is unknown"):
        evaluate(gt, results, "keypoints")
    with pytest.raises(InputError, match=r"none\.json: cannot be opened"):
        evaluate(gt, tmp_path / "none.json")
    with pytest.raises(InputError, match=r"none\.json: cannot be opened"):
        evaluate(tmp_path / "none.json", results)
    for text, message in (("[{", "is no JSON text"), ("{}", "is no list of results"), ("[" * 99999, "is no JSON text")):
        results.write_text(text)
        with pytest.raises(InputError, match=message):
            evaluate(gt, results)
    gt.write_text("{}")
    with pytest.raises(InputError, match=r"gt\.json: has no list `images`"):
        evaluate(gt, results)


def test_torch_is_not_needed():
    code = "import sys, eval.coco; sys.exit(any(m in sys.modules for m in ('torch', 'torchvision', 'mmengine')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_more_results_than_an_image_has(tmp_path):
    paths = write(tmp_path, one_image([[0, 0, 9, 9]]), [result([0, 0, 9, 9])] * 10_001)
    with pytest.raises(InputError, match=r"json: has 10,001 results of image 3, more than 10,000; keep the best"):
        evaluate(*paths)
