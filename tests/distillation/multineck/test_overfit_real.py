"""Four real images, of COCO and of VOC, learnt by heart: alone, and from two teachers as in the demo."""

import json

import pytest
from conftest import ROOT, run_script

from engine.training.stages import centers_path, features_path
from models.weights import read_checkpoint

DATA = ROOT.parent / "shared" / "data"
COPIES = 40  # of the images in an epoch
IMAGES = 4

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA.is_dir(), reason="needs the images")]


def coco(folder):
    """Images, annotations, and options of the second teacher."""
    return DATA / "coco" / "train2017", DATA / "coco" / "annotations" / "instances_train2017.json", []


def voc(folder):
    """The same, converted; without masks."""
    source = DATA / "voc" / "VOCdevkit"
    run_script("tools/voc_to_coco.py", source, folder / "converted", "--skip-difficult")
    return source, folder / "converted" / "train.json", ["model.heads.mask=False", "data.train.with_masks=False"]


@pytest.fixture(scope="module", params=[coco, voc], ids=["coco", "voc"])
def options(request, tmp_path_factory):
    """Config entries for a set of which the same images are the training set, many times over, and the test set; and
    what a teacher of each number needs besides."""
    folder = tmp_path_factory.mktemp("real")
    images, annotations, of_second = request.param(folder)
    (folder / "images").symlink_to(images)
    given = json.loads(annotations.read_text())
    shown = {box["image_id"] for box in given["annotations"]}
    records = [image for image in given["images"] if image["id"] in shown][:IMAGES]
    assert len(records) == IMAGES
    for file, copies in (("many.json", COPIES), ("once.json", 1)):
        numbers = {(image["id"], copy): IMAGES * copy + i for copy in range(copies) for i, image in enumerate(records)}
        copied = [{**image, "id": numbers[image["id"], copy]} for copy in range(copies) for image in records]
        boxes = [
            {**box, "image_id": numbers[box["image_id"], copy]}
            for copy in range(copies)
            for box in given["annotations"]
            if (box["image_id"], copy) in numbers
        ]
        boxes = [{**box, "id": number} for number, box in enumerate(boxes, 1)]
        (folder / file).write_text(json.dumps({**given, "images": copied, "annotations": boxes}))
    options = [
        f"data.root={folder}", "data.train.annotations=many.json", "data.test.annotations=once.json",
        "data.train.images=images", "data.test.images=images", "data.train.short_sides=[128]",
        "data.train.long_side=224", "data.test.short_side=128", "data.test.long_side=224",
    ]  # fmt: skip
    classes = [f"model.num_classes={len(given['categories'])}"]
    return [*options, *classes], {1: classes, 2: [*classes, *of_second]}


def train(options, config, folder, epochs, *more) -> float:
    """AP50 of the training images after training."""
    settings = [f"test_cfg.result_path={folder}/detections.json", f"train_cfg.epoch={epochs}"]
    settings += [f"train_cfg.val_interval={epochs}", *options, *more]
    run_script("train.py", config, "--work-dir", folder, "--precision", "32", "--cfg-options", *settings)
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["metrics"]["ap50"]


def test_four_images_are_learnt_by_heart_alone_and_from_two_teachers(options, tmp_path):
    options, of_teachers = options
    scores, taught = {}, list(options)
    for number, own in of_teachers.items():
        folder = tmp_path / f"teacher{number}"
        scores[f"teacher {number}"] = train(options, f"config/demo_multineck/teacher{number}.py", folder, 3, *own)
        entry = f"distiller.teachers.{number - 1}"
        taught += [f"{entry}.checkpoint={folder}/checkpoint_last.pth.tar", f"{entry}.cfg_options={own}"]
    distill, features = "config/demo_multineck/distill.py", [features_path(tmp_path, number) for number in of_teachers]
    run_script("tools/collect_roi_features.py", distill, "--out", tmp_path, "--cfg-options", *taught)
    run_script("tools/fit_centers.py", *features)
    taught += [f"distiller.teachers.{i}.centers={centers_path(file)}" for i, file in enumerate(features)]
    scores["alone"] = train(options, "config/demo_multineck/student.py", tmp_path / "alone", 6)
    scores["distilled"] = train(taught, distill, tmp_path / "distilled", 6)
    print(scores)
    assert min(scores.values()) >= 0.8, scores
