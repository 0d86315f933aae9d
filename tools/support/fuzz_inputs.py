"""Kinds of files that `tools/fuzz.py` damages: small valid ones, and the readers of each kind."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import scipy.io

from annotations import ctw1500, icdar2015, msra_td500, total_text, voc
from annotations.coco import read_coco
from annotations.coco_masks import to_rle
from annotations.synthtext import read_mat
from dataset import read_image
from dataset.issues import DataIssues
from dataset.text.parsers.synthtext_index import open_index, write_index
from errors import InputError
from eval import PROTOCOLS, coco, evaluate
from files import read_bytes, read_text
from tools.support import foreign_annotations

_QUAD = "10,10,60,12,58,40,9,38"
_CURVE = "5,5,60,40,0,0,8,0,16,0,24,0,32,0,40,0,55,0,55,35,47,35,40,35,32,35,24,35,16,35,0,35"
_TOTAL = "x: [[10 60 58  9]], y: [[10 12 40 38]], ornt: [u'h'], transcriptions: [u'caf\\xe9']\n"
_MASK = coco.encode_masks(np.tri(40, 60)[None])[0]


class Target(NamedTuple):
    """A kind of file.

    Attributes:
        name: file name, or path below the folder of an input, of what is damaged.
        valid: contents that are as they should be.
        read: reads such a file the way the project does.
        prepare: writes what must be beside it.
    """

    name: str
    valid: list[bytes]
    read: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda folder: None


def _lines(*lines: str) -> list[bytes]:
    return [line.encode() for line in (*lines, "\n".join(lines) + "\n", "\ufeff" + "\r\n".join(lines))]


def _mat(**variables: Any) -> list[bytes]:
    contents = []
    for compressed in (False, True):
        file = io.BytesIO()
        scipy.io.savemat(file, variables, do_compression=compressed)
        contents.append(file.getvalue())
    return contents


def _cells(*rows: list[Any]) -> np.ndarray:
    cells = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            cells[i, j] = value
    return cells


def _zip(text: str) -> list[bytes]:
    contents = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("res_img_1.txt", "a/res_img_2.txt", "__MACOSX/._res_img_1.txt"):
                archive.writestr(name, text)
        contents.append(file.getvalue())
    return contents


def _images() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    kinds = [(suffix, pixels[..., :3]) for suffix in (".jpg", ".png", ".bmp", ".tif", ".gif", ".webp", ".ppm")]
    kinds += [(".png", pixels), (".png", pixels[..., :3].astype(np.uint16) * 200), (".tif", pixels[..., 0])]
    encoded = [cv2.imencode(suffix, image)[1].tobytes() for suffix, image in kinds]
    return [*encoded, cv2.imencode(".jpg", pixels[..., :3], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()]


def _coco() -> dict[str, Any]:
    ring = [1, 1, 20, 2, 18, 15, 3, 12]
    segmentations = [[ring], _MASK, {"size": [40, 60], "counts": [1200, 300, 900]}]
    return {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "bbox": [1, 1, 19, 14], "area": 200, "iscrowd": i % 2}
            | {"segmentation": segmentation}
            for i, segmentation in enumerate(segmentations, 1)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    }


def _read_coco(path: Path) -> None:
    annotations = read_coco(path, with_masks=True)
    for i, image in enumerate(annotations.image_index):
        to_rle(annotations.segmentations[i], tuple(annotations.image_sizes[image].tolist()), annotations.where(i))


def _write_truth(folder: Path) -> None:
    (folder.parent / "truth.json").write_text(json.dumps(_coco()))


def _results(**geometry: Any) -> bytes:
    return json.dumps([{"image_id": 7, "category_id": 3, "score": 0.5, **geometry}] * 3).encode()


def _prepare(protocol: str, name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder.parent / "gt").mkdir(exist_ok=True)
        (folder.parent / "gt" / name).write_text(text)

    return write


def _scored(protocol: str) -> Callable[[Path], object]:
    return lambda path: evaluate(protocol, path.parent.parent / "gt", path.parent)


def _read_foreign(reader: Callable[..., Any], whole_folder: bool) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        job = foreign_annotations.Import(None, ["###"], DataIssues("fuzz"))
        reader(path.parent if whole_folder else path, job)
        assert all("\n" not in problem for problem in job.problems)
        if job.problems:
            raise InputError(job.problems[0])

    return read


def _write_image(folder: Path) -> None:
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 60, 3), np.uint8))


def _index(folder: Path) -> list[bytes]:
    boxes = np.arange(16, dtype=float).reshape(2, 4, 2)
    (folder / "gt.mat").write_bytes(_mat(imnames=_cells(["a.jpg"]), wordBB=_cells([boxes]), txt=_cells(["a b"]))[0])
    write_index(folder / "index", read_mat(folder / "gt.mat"), {})
    return [(folder / "index").read_bytes()]


def _read_index(path: Path) -> None:
    index = open_index(path, {})
    if index is not None:
        list(index)


def targets(folder: Path) -> dict[str, Target]:
    """All kinds by name; `folder` is for what must be written to be made."""
    rows = [["x:", np.int16([[1, 9, 9]]), "y:", np.int16([[1, 1, 9]]), "café", "h"]] * 2
    words = _cells(["a.jpg", "b.jpg"])
    boxes = _cells([np.zeros((2, 4, 2)), np.ones((2, 4))])
    labelme = {"version": "5", "imagePath": "a.png", "imageWidth": 60, "imageHeight": 40}
    points = [[1, 1], [20, 2], [18, 15], [3, 12]]
    shapes = [{"label": "a", "points": points, "shape_type": kind} for kind in ("polygon", "oriented_rectangle")]
    annotation = {"image_id": 1, "bbox": [1, 1, 5, 5], "mask": [1, 1, 9, 1, 9, 9], "utf8_string": "a"}
    coco_text = {"imgs": {"1": {"id": 1, "file_name": "a.png", "set": "train"}}, "anns": {"7": annotation}}
    box = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    size = "<size><width>80</width><height>60</height></size>"
    xml = f"<annotation>{size}<object><name>cat</name><difficult>1</difficult>{box}</object></annotation>"

    def text(parse: Callable[[str, str], object], name: str, *lines: str) -> Target:
        return Target(name, _lines(*lines), lambda path: parse(read_text(path), str(path)))

    def scored(protocol: str, name: str, truth: str, *lines: str) -> Target:
        results = PROTOCOLS[protocol].results.file_name("img_1")
        return Target(results, _lines(*lines), _scored(protocol), _prepare(protocol, name, truth))

    return {
        "icdar2015": text(icdar2015.parse, "gt_img_1.txt", f"{_QUAD},a,b", f"{_QUAD},Latin,###", f"{_QUAD},1,2,9,9,c"),
        "ctw1500": text(ctw1500.parse, "1.txt", _CURVE, _CURVE.split(",", 4)[-1] + ",word", _CURVE + ",word"),
        "msra_td500": text(msra_td500.parse, "1.gt", "0 0 10 20 30 40 0.5", "1 1 5 5 9 9 -0.2 a word"),
        "total_text": text(total_text.parse_text, "poly_gt_1.txt", _TOTAL, _TOTAL.replace("]],", "]],\n")),
        "total_text_mat": Target(
            "poly_gt_1.mat", _mat(polygt=_cells(*rows)), lambda p: total_text.parse_mat(read_bytes(p), str(p))
        ),
        "synthtext_mat": Target("gt.mat", _mat(imnames=words, wordBB=boxes, txt=words), lambda p: list(read_mat(p))),
        "synthtext_index": Target("gt.mat.index", _index(folder), _read_index),
        "results_icdar2015": scored("icdar2015", "gt_img_1.txt", f"{_QUAD},a\n{_QUAD},###\n", _QUAD, "0,0,9,9,9,0,0,9"),
        "results_ctw1500": scored("ctw1500", "img_1.txt", _CURVE + "\n", _QUAD, _CURVE),
        "results_total_text": scored("total_text", "poly_gt_img_1.txt", _TOTAL, _QUAD, _CURVE),
        "results_msra_td500": scored("msra_td500", "img_1.gt", "0 0 10 20 30 40 0.5\n", "1, 1, 9, 1, 9, 9", _QUAD),
        "zip": Target("results.zip", _zip(_QUAD + "\n"), PROTOCOLS["icdar2015"].results.read),
        "coco": Target("instances.json", [json.dumps(_coco()).encode()], _read_coco),
        "coco_results": Target(
            "results.json",
            [_results(bbox=[1, 1, 9, 9])],
            lambda p: coco.evaluate(p.parent.parent / "truth.json", p),
            _write_truth,
        ),
        "coco_mask_results": Target(
            "masks.json",
            [_results(segmentation=_MASK)],
            lambda p: coco.evaluate(p.parent.parent / "truth.json", p, "segm"),
            _write_truth,
        ),
        "labelme": Target(
            "a.json",
            [json.dumps(labelme | {"shapes": shapes}).encode()],
            _read_foreign(foreign_annotations.read_labelme, whole_folder=True),
            _write_image,
        ),
        "coco_text": Target(
            "labels.json",
            [json.dumps(coco_text).encode(), json.dumps(_coco()).encode()],
            _read_foreign(foreign_annotations.read_coco, whole_folder=False),
            _write_image,
        ),
        "voc": Target("1.xml", [xml.encode()], lambda path: voc.read(path)),
        "image": Target("a.png", _images(), read_image),
    }
