"""The embedded data set for object detection: rendered shapes with exact boxes and masks, in the layout of COCO."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faster_coco_eval.core import mask as mask_codec

from dataset.synthetic.files import check_request, run_jobs, write_set
from dataset.synthetic.shapes import CLASSES, MIN_SIDE, STYLES, render_scene
from errors import InputError

GENERATOR = 1  # raise it whenever the same seed gives other images, so that an old set is not taken for a new one
CATEGORY_IDS = (1, 3, 4, 8, 13, 90)  # with gaps, as those of COCO
SPLITS = ("train", "val")


@dataclass(frozen=True)
class _Plan:
    """Parameters that a worker needs to write any one image."""

    folder: Path
    first_ids: tuple[int, int]
    size: tuple[int, int]
    seed: int
    style: str


def write_coco(
    out: str | Path,
    train: int,
    val: int,
    size: tuple[int, int] = (256, 256),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    style: str = "standard",
) -> bool:
    """Writes `out/{train2017,val2017}`, `out/annotations/instances_{train,val}2017.json` and a description.

    Boxes and masks are those of the visible part. The files depend on every argument but `workers`, `overwrite`
    and `progress`. They are written aside and renamed when complete, so `out` never holds half a set.

    Args:
        out: the root of the data set.
        train, val: numbers of images.
        size: (W, H) of every image, px.
        seed: non-negative; each image has its own generator, seeded by (seed, split, index).
        workers: processes.
        overwrite: replace a set that an earlier call wrote with other arguments.
        progress: called with (images done, images in all).
        style: a key of STYLES: 'standard', or 'easy' (fewer and larger shapes, each class of its own hue).

    Returns:
        True if the set was written, False if `out` already held exactly this one.

    Raises:
        InputError: an argument out of range, or `out` holds something else.
    """
    check_request({"train": train, "val": val}, size, MIN_SIDE, seed, workers)
    if style not in STYLES:
        raise InputError(f"style {style!r}: give one of {', '.join(STYLES)}")
    description = {"generator": GENERATOR, "shapes": CLASSES, "train": train, "val": val, "size": size, "seed": seed}
    description["style"] = style

    def write(folder: Path) -> None:
        plan = _Plan(folder, (1, train + 1), tuple(size), seed, style)
        _write_images(plan, (train, val), workers, progress)

    return write_set(out, description, write, overwrite)


def _write_images(
    plan: _Plan, counts: tuple[int, int], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    (plan.folder / "annotations").mkdir()
    for split in SPLITS:
        (plan.folder / f"{split}2017").mkdir()
    jobs = [(split, index) for split, count in enumerate(counts) for index in range(count)]
    contents = [{"images": [], "annotations": []} for _ in SPLITS]
    for done, ((split, _), (image, objects)) in enumerate(
        zip(jobs, run_jobs(partial(_write_image, plan), jobs, workers))
    ):
        annotations = contents[split]["annotations"]
        annotations += [{"id": len(annotations) + i, **found} for i, found in enumerate(objects, 1)]
        contents[split]["images"].append(image)
        if progress:
            progress(done + 1, len(jobs))
    categories = [{"id": i, "name": name, "supercategory": "shape"} for i, name in zip(CATEGORY_IDS, CLASSES)]
    for split, content in zip(SPLITS, contents):
        info = {"description": f"rendered shapes, {split}, seed {plan.seed}"}
        text = json.dumps({"info": info, "licenses": [], **content, "categories": categories})
        (plan.folder / "annotations" / f"instances_{split}2017.json").write_text(text + "\n", encoding="ascii")


def _write_image(plan: _Plan, job: tuple[int, int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Writes one image; returns its entry and those of its objects, which still lack an id."""
    split, index = job
    rng = np.random.default_rng([plan.seed, split, index])
    image, objects = render_scene(rng, plan.size, STYLES[plan.style])
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode a JPEG of {image.shape}")
    image_id = plan.first_ids[split] + index  # as in COCO, no image of the two splits shares its id
    name = f"{image_id:012d}.jpg"
    (plan.folder / f"{SPLITS[split]}2017" / name).write_bytes(data.tobytes())
    entry = {"id": image_id, "file_name": name, "height": plan.size[1], "width": plan.size[0]}
    return entry, [_annotation(image_id, found.name, found.mask, found.box) for found in objects]


def _annotation(image_id: int, name: str, mask: np.ndarray, box: tuple[int, int, int, int]) -> dict[str, Any]:
    encoded = mask_codec.encode(np.asfortranarray(mask, np.uint8))
    return {
        "image_id": image_id,
        "category_id": CATEGORY_IDS[CLASSES.index(name)],
        "bbox": [float(v) for v in box],
        "area": float(np.count_nonzero(mask)),
        "iscrowd": 0,
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
    }
