"""COCO average precision of boxes and of masks, by faster-coco-eval.

Published with "Microsoft COCO: Common Objects in Context", Lin et al., 2014: precision averaged over ten IoU
thresholds from 0.5 to 0.95, 101 recalls and all classes with ground truth; up to 100 detections an image; crowd
regions neither reward nor punish.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as mask_codec

from annotations.coco import CocoAnnotations, is_box, is_number, read_coco
from annotations.coco_masks import to_rle
from errors import InputError
from eval.files import written_aside
from files import open_regular

VARIANTS = ("bbox", "segm")
MAX_RESULTS = 10_000  # for each image

_AREAS = ("all", "small", "medium", "large")  # small: under 32² px, large: over 96² px


def evaluate(
    gt_path: str | Path, results_path: str | Path, variant: str = "bbox", only: Collection[int] | None = None
) -> dict[str, Any]:
    """Scores a result file against an instances file.

    Args:
        gt_path: COCO instances file, such as `annotations/instances_val2017.json`.
        results_path: file of `write_results`: a list of `{"image_id", "category_id", "bbox", "score"}` with
            x, y, width and height, or, for masks, `segmentation`, a run-length encoding.
        variant: overlap of boxes ('bbox') or of masks ('segm').
        only: ids of the images to score; None for all.

    Returns:
        `protocol`, `variant`; `ap`, `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`, 0 to 1, or None where
        there is no ground truth; `per_class`, the ap by class name; `images`, the number of images scored.

    Raises:
        InputError: a file that cannot be read, ids in the results or in `only` that the ground truth lacks, or a
            malformed entry.
    """
    if variant not in VARIANTS:
        raise InputError(f"coco: variant {variant!r} is unknown (there is {', '.join(VARIANTS)})")
    annotations = read_coco(gt_path, with_masks=variant == "segm")
    results = _read_results(Path(results_path), annotations, variant)
    truth = COCO(_ground_truth(annotations))
    scorer = COCOeval_faster(truth, truth.loadRes(results), iouType=variant)
    scorer.params.imgIds = _scored_images(annotations, only)
    scorer.evaluate()
    scorer.accumulate()
    precision = scorer.eval["precision"][..., -1]  # (10 IoU, 101 recalls, C classes, 4 areas), -1: no ground truth
    by_area = {area: _mean(precision[:, :, :, i]) for i, area in enumerate(_AREAS)}
    return {
        "protocol": "coco",
        "variant": variant,
        "ap": by_area.pop("all"),
        "ap50": _mean(precision[0, :, :, 0]),
        "ap75": _mean(precision[5, :, :, 0]),
        **{f"ap_{area}": value for area, value in by_area.items()},
        "per_class": {name: _mean(precision[:, :, i, 0]) for i, name in enumerate(annotations.classes)},
        "images": len(scorer.params.imgIds),
    }


def write_results(
    path: str | Path, detections: Iterable[tuple[int, Mapping[str, Any]]], category_ids: Sequence[int]
) -> None:
    """Writes detections in the COCO result format, one a line.

    Args:
        path: the file; an earlier one is replaced once all is written.
        detections: image id and its detections: `boxes` (n, 4) x1, y1, x2, y2 in pixels of the original
            image, `labels` (n,) 1..C, `scores` (n,) and, where there are masks, `segmentations`, n encodings as
            `encode_masks` makes them. They are read one by one, so a generator may be given.
        category_ids: C ids of the ground truth: label l is `category_ids[l - 1]`.

    Raises:
        InputError: the place cannot be written.
    """
    with written_aside(Path(path)) as aside, open(aside, "w", encoding="ascii", newline="\n") as file:
        start = "[\n"
        for image_id, found in detections:
            for entry in _entries(image_id, found, category_ids):
                file.write(start + json.dumps(entry, allow_nan=False))
                start = ",\n"
        file.write("[]\n" if start == "[\n" else "\n]\n")


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Encodes masks (n, H, W) of the original image's size as n run-length encodings for `write_results`."""
    columns = np.asfortranarray(np.moveaxis(np.asarray(masks) != 0, 0, -1), np.uint8)
    encoded = mask_codec.encode(columns) if columns.shape[-1] else []
    return [{"size": list(e["size"]), "counts": e["counts"].decode("ascii")} for e in encoded]


def decode_mask(encoding: Mapping[str, Any]) -> np.ndarray:
    """Decodes a run-length encoding of `encode_masks` to (H, W) uint8, 1 inside the mask."""
    return mask_codec.decode(dict(encoding))


def _entries(image_id: int, found: Mapping[str, Any], category_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The results of one image. A thousandth of a pixel is far below what any threshold can see."""
    corners = np.asarray(found["boxes"], np.float64).reshape(-1, 4)
    boxes = np.round(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), 3)
    scores = np.round(np.asarray(found["scores"], np.float64), 7)
    segmentations = found.get("segmentations")
    for i, (box, label, score) in enumerate(zip(boxes.tolist(), np.asarray(found["labels"]).tolist(), scores.tolist())):
        entry = {"image_id": int(image_id), "category_id": int(category_ids[label - 1]), "bbox": box, "score": score}
        yield entry if segmentations is None else {**entry, "segmentation": segmentations[i]}


def _ground_truth(annotations: CocoAnnotations) -> dict[str, Any]:
    """Ground truth for the evaluator, with new annotation ids: it drops one that repeats an id, and the id 0."""
    columns = zip(
        annotations.image_ids[annotations.image_index].tolist(),
        annotations.labels.tolist(),
        annotations.boxes.tolist(),
        annotations.areas.tolist(),
        annotations.crowd.tolist(),
    )
    entries = [
        {
            "id": i,
            "image_id": image_id,
            "category_id": annotations.category_ids[label - 1],
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }
        for i, (image_id, label, box, area, crowd) in enumerate(columns, 1)
    ]
    if annotations.segmentations is not None:
        for i, entry in enumerate(entries):
            size = annotations.image_sizes[annotations.image_index[i]].tolist()
            entry["segmentation"] = to_rle(annotations.segmentations[i], size, annotations.where(i))
    sizes = annotations.image_sizes.tolist()
    return {
        "images": [{"id": i, "height": h, "width": w} for i, (h, w) in zip(annotations.image_ids.tolist(), sizes)],
        "annotations": entries,
        "categories": [{"id": i, "name": name} for i, name in zip(annotations.category_ids, annotations.classes)],
    }


def _read_results(path: Path, annotations: CocoAnnotations, variant: str) -> list[dict[str, Any]]:
    """The results, checked, with what the variant needs: with a box, the evaluator takes a mask's area from that."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON text ({error}); write the results again") from error
    if not isinstance(content, list):
        raise InputError(f"{path}: is no list of results; give what the detector wrote")
    sizes = dict(zip(annotations.image_ids.tolist(), annotations.image_sizes.tolist()))
    most = Counter(str(entry.get("image_id")) for entry in content if isinstance(entry, dict)).most_common(1)
    if most and most[0][1] > MAX_RESULTS:
        raise InputError(
            f"{path}: has {most[0][1]:,} results of image {most[0][0][:20]}, more than {MAX_RESULTS:,}; keep the best: "
            "100 of an image are scored"
        )
    categories = set(annotations.category_ids)
    kept = ("image_id", "category_id", "score", "bbox" if variant == "bbox" else "segmentation")
    for i, entry in enumerate(content):
        where = f"{path}, result {i}"
        flaw = _flaw(entry, variant, sizes, categories, annotations.path)
        if flaw is not None:
            raise InputError(f"{where}: {flaw}; write the results again, or give their ground truth")
        if variant == "segm":
            entry["segmentation"] = to_rle(entry["segmentation"], sizes[entry["image_id"]], where)
    return [{key: entry[key] for key in kept} for entry in content]


def _flaw(
    entry: Any, variant: str, sizes: Mapping[int, list[int]], categories: Collection[int], truth: Path
) -> str | None:
    """Description of the error in a result; None if it is valid."""
    if not isinstance(entry, dict):
        return "is no object with fields"
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if type(image_id) is not int or image_id not in sizes:
        return f"image_id {_shown(image_id)} is not in {truth}"
    if type(category_id) is not int or category_id not in categories:
        return f"category_id {_shown(category_id)} is not in {truth}"
    if not is_number(entry.get("score")):
        return f"score is {_shown(entry.get('score'))}, no number"
    if variant == "bbox":
        box = entry.get("bbox")
        return (
            None
            if is_box(box) and min(box[2:]) >= 0
            else f"bbox is {_shown(box)}, not x, y, width and height in pixels"
        )
    mask = entry.get("segmentation")
    if not isinstance(mask, dict) or mask.get("size") != sizes[image_id] or not isinstance(mask.get("counts"), str):
        return f"segmentation is no compressed run-length encoding of {sizes[image_id]}, the size of its image"
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _scored_images(annotations: CocoAnnotations, only: Collection[int] | None) -> list[int]:
    known = annotations.image_ids.tolist()
    if only is None:
        return known
    strangers = sorted(set(only).difference(known))
    if strangers:
        raise InputError(f"{annotations.path}: has no image {strangers[0]}, one of {len(strangers)} that are not there")
    return sorted(set(only))


def _mean(precision: np.ndarray) -> float | None:
    """Mean over entries with ground truth (not -1); None if there are none."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
