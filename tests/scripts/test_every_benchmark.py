"""Every benchmark, every detector: train.py, test.py, batch_eval.py and eval on rendered images in its layout."""

import json
import math
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from conftest import run_script
from scipy.io import savemat

from annotations import Instance, total_text
from dataset import PARSERS

SLIM = ["model.backbone.width=16", "model.neck.channels=16", "model.head.hidden=16"]
KKD = ["model.transformer.channels=16", "model.transformer.tokens=4", "model.adapter.channels=64"]
SMALL = ["data.batch_size=2", "data.num_workers=0", "data.train.img_size=64", "data.train.short_size=64"]
BRIEF = ["train_cfg.epoch=1", "train_cfg.parts=1", "train_cfg.schedule=polylr", "train_cfg.pretrain=None"]


def write_total_text(folder, split, record):
    labels = folder / "Groundtruth" / "Polygon" / split.title()
    labels.mkdir(parents=True, exist_ok=True)
    lines = [Instance(p.astype(float), "", "text", "c") for p in record.polygons]
    (labels / f"poly_gt_{record.name}.txt").write_text(total_text.write_text(lines))
    return folder / "Images" / split.title() / f"{record.name}.jpg"


def write_icdar2015(folder, split, record):
    part = {"train": "training", "test": "test"}[split]
    labels = folder / "Challenge4" / f"ch4_{part}_localization_transcription_gt"
    labels.mkdir(parents=True, exist_ok=True)
    name = f"img_{int(record.name)}"
    corners = [np.rint(cv2.boxPoints(cv2.minAreaRect(p))).astype(int).ravel() for p in record.polygons]
    (labels / f"gt_{name}.txt").write_text("".join(",".join(map(str, c)) + ",text\r\n" for c in corners))
    return folder / "Challenge4" / f"ch4_{part}_images" / f"{name}.jpg"


def write_msra_td500(folder, split, record):
    image = folder / split / f"IMG_{record.name}.JPG"
    image.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, polygon in enumerate(record.polygons):
        (x, y), (w, h), angle = cv2.minAreaRect(polygon)
        lines.append(f"{index} 0 {x - w / 2:.0f} {y - h / 2:.0f} {w:.0f} {h:.0f} {math.radians(angle):.6f}\n")
    image.with_suffix(".gt").write_text("".join(lines))
    return image


def write_synthtext(folder, records):
    (folder / "1").mkdir(parents=True)
    boxes = np.empty((1, len(records)), object)
    words, names = np.empty((1, len(records)), object), np.empty((1, len(records)), object)
    for i, record in enumerate(records):
        shutil.copy(record.image_path, folder / "1" / f"{record.name}.jpg")
        corners = [cv2.boxPoints(cv2.minAreaRect(p)).T for p in record.polygons]
        boxes[0, i] = np.stack(corners, axis=2).astype(np.float32)
        words[0, i], names[0, i] = np.array(["word " * len(corners)]), f"1/{record.name}.jpg"
    savemat(folder / "gt.mat", {"imnames": names, "wordBB": boxes, "txt": words})


@pytest.fixture(scope="module")
def roots(ctw_root, tmp_path_factory):
    """The rendered images of `ctw_root` in the layout of every benchmark."""
    found = {"ctw": ctw_root}
    writers = {"tt": write_total_text, "ic15": write_icdar2015, "msra": write_msra_td500}
    for name, write in writers.items():
        found[name] = tmp_path_factory.mktemp("benchmarks") / name
        for split in ("train", "test"):
            for record in list(PARSERS.get("CTW1500")(ctw_root, split)):
                target = write(found[name], split, record)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(record.image_path, target)
    found["synth"] = tmp_path_factory.mktemp("benchmarks") / "synth"
    write_synthtext(found["synth"], list(PARSERS.get("CTW1500")(ctw_root, "train")))
    return found


@pytest.mark.parametrize(
    ("config", "benchmark", "options"),
    [
        ("config/kkd/r18_tt.py", "tt", KKD),
        ("config/kkd/r18_ic15.py", "ic15", KKD),
        ("config/pan/r18_msra.py", "msra", []),
        ("config/psenet/r50_ctw.py", "ctw", ["model.backbone.depth=18"]),
        ("config/psenet/r50_ic15_1024.py", "ic15", ["model.backbone.depth=18", "test_cfg.min_score=0.1"]),
    ],
)
def test_a_benchmark_trains_and_is_scored(roots, config, benchmark, options, tmp_path):
    overrides = [f"data.root={roots[benchmark]}", "data.test.short_size=64", *SMALL, *SLIM, *options]
    run = tmp_path / "run"
    run_script("train.py", config, "--work-dir", run, "--cfg-options", *overrides, *BRIEF)
    checkpoint = run / "checkpoint_last.pth.tar"
    results = tmp_path / "results"
    run_script("test.py", config, checkpoint, "--work-dir", results, "--cfg-options", *overrides)
    scores = json.loads((results / "results.json").read_text())
    assert len(scores["per_image"]) == 3 and scores["variant"] == "official"
    [written] = [path for path in results.iterdir() if path.name.startswith("submit")]
    if scores["protocol"] == "icdar2015":
        with zipfile.ZipFile(written) as archive:
            assert len(archive.namelist()) == 3
    again = tmp_path / "again.json"
    gt = PARSERS.get({"tt": "TotalText", "ic15": "ICDAR2015", "msra": "MSRATD500", "ctw": "CTW1500"}[benchmark])
    gt = gt(roots[benchmark], "test").ground_truth
    run_script("-m", "eval", scores["protocol"], "--gt", gt, "--pred", written, "--json", again)
    assert json.loads(again.read_text())["per_image"] == scores["per_image"]
    assert "<- best" in run_script("batch_eval.py", config, run, "--cfg-options", *overrides)


def test_synthtext_pretrains_in_parts_and_another_benchmark_starts_from_it(roots, tmp_path):
    common = [*SMALL, *SLIM]
    pretrained = tmp_path / "synth" / "checkpoint_last.pth.tar"
    output = run_script(
        "train.py", "config/pan/r18_synth.py", "--work-dir", pretrained.parent, "--cfg-options", *common,
        f"data.root={roots['synth']}", "train_cfg.parts=3", "train_cfg.save_interval=1",
    )  # fmt: skip
    assert "nothing is measured" in output and "3 steps an epoch, 1 epochs in 3 parts each" in output
    assert len(list(pretrained.parent.glob("checkpoint_?ep.pth.tar"))) == 3
    options = [*common, f"data.root={roots['tt']}", f"train_cfg.pretrain={pretrained}", "data.test.short_size=64"]
    finetune = ["config/pan/r18_tt_finetune.py", "--work-dir", tmp_path / "tt", "--max-steps", 1]
    assert "loaded" in run_script("train.py", *finetune, "--cfg-options", *options)
    refused = run_script("test.py", "config/pan/r18_synth.py", pretrained, "--cfg-options", *common, code=2)
    assert "data.test is missing" in refused
