"""COCO average precision: equal to pycocotools, hand-computed cases, and result files that are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as mask_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from errors import InputError
from eval.coco import decode_mask, encode_masks, evaluate, write_results

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "coco" / "annotations"
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
SIZE = (200, 260)
CATEGORIES = {2: "cat", 5: "dog", 9: "cow", 40: "emu"}  # nothing is an emu


def random_box(rng: np.random.Generator, low: float = 4.0, high: float = 150.0) -> list[float]:
    w, h = np.exp(rng.uniform(np.log(low), np.log(high), 2))
    return [rng.uniform(0, SIZE[1] - w), rng.uniform(0, SIZE[0] - h), w, h]


def ellipse(xywh: list[float]) -> np.ndarray:
    """The mask of a box's ellipse."""
    x, y, w, h = xywh
    centre, axes = (round(x + w / 2), round(y + h / 2)), (max(round(w / 2), 1), max(round(h / 2), 1))
    return cv2.ellipse(np.zeros(SIZE, np.uint8), centre, axes, 0, 0, 360, 1, -1)


def random_truth(rng: np.random.Generator, images: int) -> dict:
    """Images with up to 8 boxes, one in five empty, one annotation in eight a crowd; ids are not in order."""
    ids = rng.permutation(1000)[:images].tolist()
    annotations = []
    for image_id in ids:
        for _ in range(0 if rng.random() < 0.2 else rng.integers(1, 9)):
            box = random_box(rng)
            crowd = bool(rng.random() < 0.12)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.choice([2, 5, 9])),
                    "bbox": box,
                    "area": box[2] * box[3] * rng.uniform(0.5, 1),  # that of a mask is smaller
                    "iscrowd": int(crowd),
                    "segmentation": encode_masks(ellipse(box)[None])[0],
                }
            )
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in ids],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
    }


def random_results(rng: np.random.Generator, truth: dict) -> list[dict]:
    """Shifted ground truth, twice at times, some of another class, and boxes of nothing; scores with ties."""
    found = []
    for image in truth["images"]:
        boxes = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        for a in boxes:
            for _ in range(rng.integers(0, 3)):
                x, y, w, h = a["bbox"]
                dx, dy, dw, dh = rng.normal(0, 0.07, 4)
                category = a["category_id"] if rng.random() < 0.85 else int(rng.choice(list(CATEGORIES)))
                found.append((image["id"], category, [x + dx * w, y + dy * h, w * np.exp(dw), h * np.exp(dh)]))
        for _ in range(rng.integers(0, 4)):
            found.append((image["id"], int(rng.choice(list(CATEGORIES))), random_box(rng)))
    return [
        {"image_id": i, "category_id": c, "bbox": b, "score": float(np.round(rng.random(), 2))} for i, c, b in found
    ]


def write(folder: Path, truth: dict, results: object) -> tuple[Path, Path]:
    paths = folder / "gt.json", folder / "results.json"
    for path, content in zip(paths, (truth, results)):
        path.write_text(json.dumps(content))
    return paths


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


def one_image(boxes: list[list[float]], **fields) -> dict:
    truth = {
        "images": [{"id": 3, "file_name": "3.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"id": 0, "image_id": 3, "category_id": 5, "bbox": b, **fields} for b in boxes],
        "categories": [{"id": 5, "name": "dog"}],
    }
    return truth


def result(box: list[float], score: float = 0.5, **fields) -> dict:
    return {"image_id": 3, "category_id": 5, "bbox": box, "score": score, **fields}


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


# --- result files


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
