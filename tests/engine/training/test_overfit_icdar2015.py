"""Eight real ICDAR2015 images, learnt by heart: data, network, loss, decoding and protocol work together."""

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_script

from dataset import PARSERS
from models.weights import read_checkpoint

SOURCE = ROOT.parent / "shared" / "data" / "ICDAR2015"
NUMBER, LEAST_SIDE = 8, 60  # images, and pixels that the smallest word to be read in them is high
COPIES = 50  # of the images in an epoch: epochs of one step would spend their time on checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the ICDAR2015 images")]

QUARTER = ["model.backbone.depth=18", "model.backbone.width=16", "model.neck.channels=32", "model.head.hidden=32"]
KKD = ["model.transformer.channels=32", "model.adapter.channels=128"]


def short_side(polygon: np.ndarray) -> float:
    return min(cv2.minAreaRect(polygon)[1])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The first eight training images with large words only, many times over as training set, once as test set."""
    parser = PARSERS.get("ICDAR2015")(SOURCE, "train")
    records = (parser[i] for i in range(len(parser)))
    words = ((r, [p for p, ignored in zip(r.polygons, r.ignore) if not ignored]) for r in records)
    chosen = [r for r, kept in words if len(kept) >= 2 and min(map(short_side, kept)) >= LEAST_SIDE][:NUMBER]
    assert len(chosen) == NUMBER
    folder = tmp_path_factory.mktemp("overfit") / "ICDAR2015"
    for split, copies in (("training", COPIES), ("test", 1)):
        kinds = ("images", "localization_transcription_gt")
        images, labels = (folder / "Challenge4" / f"ch4_{split}_{kind}" for kind in kinds)
        images.mkdir(parents=True)
        labels.mkdir()
        for number, record in enumerate(chosen * copies):
            (images / f"img_{number}.jpg").symlink_to(record.image_path)
            (labels / f"gt_img_{number}.txt").symlink_to(parser.ground_truth / f"gt_{record.name}.txt")
    return folder


@pytest.mark.parametrize(
    ("config", "options", "epochs"),
    [
        ("config/pan/r18_ic15.py", [], 12),
        ("config/psenet/r50_ic15_736.py", ["train_cfg.optimizer=Adam", "train_cfg.schedule=polylr"], 12),
        ("config/kkd/r18_ic15.py", KKD, 12),
    ],
    ids=["PAN", "PSENet", "KKD student"],
)
def test_eight_images_are_learnt_by_heart(root, config, options, epochs, tmp_path):
    settings = [
        f"data.root={root}", "data.batch_size=4", "data.num_workers=1", "data.train.img_size=320",
        "data.train.short_size=320", "data.test.short_size=320", f"train_cfg.epoch={epochs}", "train_cfg.lr=0.003",
        "train_cfg.val_interval=1", f"train_cfg.save_interval={epochs}", "train_cfg.weight_decay=0.0",
    ]  # fmt: skip
    command = ["train.py", config, "--work-dir", tmp_path, "--precision", "bf16"]
    run_script(*command, "--cfg-options", *settings, *QUARTER, *options)
    checkpoint = read_checkpoint(tmp_path / "checkpoint_best.pth.tar")
    assert checkpoint["metrics"]["hmean"] >= 0.9, checkpoint["metrics"]
