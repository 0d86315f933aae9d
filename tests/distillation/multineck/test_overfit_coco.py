"""Four real COCO images, learnt by heart: alone, and from two teachers, as in the demo but without class centres."""

import json

import pytest
from conftest import ROOT, run_script

from models.weights import read_checkpoint

SOURCE = ROOT.parent / "shared" / "data" / "coco"
COPIES = 40  # of the images in an epoch
CLASSES = "model.num_classes=80"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the COCO images")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The training images many times over as training set, once as test set."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "train2017").symlink_to(SOURCE / "train2017")
    given = json.loads((SOURCE / "annotations" / "instances_train2017.json").read_text())
    images, boxes = given["images"], given["annotations"]
    numbers = {(image["id"], copy): len(images) * copy + i for copy in range(COPIES) for i, image in enumerate(images)}
    copied = [{**image, "id": numbers[image["id"], copy]} for copy in range(COPIES) for image in images]
    objects = [
        {**box, "image_id": numbers[box["image_id"], copy], "id": 1 + len(boxes) * copy + i}
        for copy in range(COPIES)
        for i, box in enumerate(boxes)
    ]
    (folder / "many.json").write_text(json.dumps({**given, "images": copied, "annotations": objects}))
    (folder / "once.json").write_text(json.dumps(given))
    return folder


def train(root, config, folder, epochs, *options) -> float:
    """AP50 of the training images after training."""
    settings = [
        f"data.root={root}", "data.train.annotations=many.json", "data.test.annotations=once.json",
        "data.test.images=train2017", "data.train.short_sides=[128]", "data.train.long_side=224",
        "data.test.short_side=128", "data.test.long_side=224", f"test_cfg.result_path={folder}/detections.json",
        f"train_cfg.epoch={epochs}", f"train_cfg.val_interval={epochs}", CLASSES,
    ]  # fmt: skip
    run_script("train.py", config, "--work-dir", folder, "--precision", "32", "--cfg-options", *settings, *options)
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["metrics"]["ap50"]


def test_four_images_are_learnt_by_heart_alone_and_from_two_teachers(root, tmp_path):
    scores = {}
    for number in (1, 2):
        folder = tmp_path / f"teacher{number}"
        scores[f"teacher {number}"] = train(root, f"config/demo_multineck/teacher{number}.py", folder, 3)
    scores["alone"] = train(root, "config/demo_multineck/student.py", tmp_path / "alone", 6)
    taught = ["distiller.use_centres=False"]
    for index in range(2):
        entry = f"distiller.teachers.{index}"
        taught += [
            f"{entry}.checkpoint={tmp_path}/teacher{index + 1}/checkpoint_last.pth.tar",
            f"{entry}.cfg_options=['{CLASSES}']",
        ]
    scores["distilled"] = train(root, "config/demo_multineck/distill.py", tmp_path / "distilled", 6, *taught)
    print(scores)
    assert min(scores.values()) >= 0.8, scores
