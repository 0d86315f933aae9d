"""docs/custom_dataset.md is run from its first command to its last, so that it stays true."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from conftest import ROOT, run_script

from annotations import total_text
from dataset.synthetic.text_set import write_dataset
from dataset.text.parsers.ctw1500 import CTW1500
from dataset.text.parsers.total_text import TotalText
from engine.experiment import load_experiment
from models import build_detector
from models.weights import read_checkpoint

GUIDE = (ROOT / "docs" / "custom_dataset.md").read_text(encoding="utf-8")
FAST, RELEASED = "work_dirs/mine_s/checkpoint_last.pth.tar", "weights/light_m_icdar2015.pth.tar"
SMALL_MODEL = """model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth={depth}, width=16),
    neck=dict(type="FPEMNeck", channels=16, shared=True),
    transformer=dict(type="VisualTransformer", channels=16, tokens=4),
    adapter=dict(type="FeatureAdapter", channels=64),
    head=dict(type="PANHead", hidden=16),
)
loss = dict(type="PANLoss")
"""
SMALLER = {
    "img_size=640": "img_size=64",
    "img_size=256": "img_size=64",
    'split="test", short_size=640': 'split="test", short_size=192',
    "work_dirs/mine_s/checkpoint_last.pth.tar mine.pth.tar": "weights/light_s_icdar2015.pth.tar mine.pth.tar",
    "short_size=640": "short_size=64",
    "epoch=600": "epoch=1",
    "batch_size=8": "batch_size=8, num_workers=0",
    "train_cfg.epoch=60": "train_cfg.epoch=1",
    "data.train.short_size=960": "data.train.short_size=96",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def smaller(text: str) -> str:
    """The same with small images and short runs; a value that is not replaced only takes longer."""
    for old, new in SMALLER.items():
        text = text.replace(old, new)
    return text


def commands() -> list[list[str]]:
    return [shlex.split(smaller(line)) for block in blocks("sh") for line in block.splitlines()]


def configs() -> dict[str, str]:
    """Path to content, of the configs of the guide."""
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks("python")}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder to run the guide in: its configs over small networks and images, and what the reader has."""
    folder = tmp_path_factory.mktemp("a reader")
    base = folder / "config" / "_base_"
    shutil.copytree(ROOT / "config" / "_base_" / "schedule", base / "schedule")
    for path in (base / "schedule").iterdir():
        path.write_text(smaller(path.read_text()))
    (base / "model").mkdir()
    for depth in (18, 50):
        (base / "model" / f"kkd_r{depth}.py").write_text(SMALL_MODEL.format(depth=depth))
    for name in ("model/light_m.py", "model/light_s.py", "data/total_text.py"):
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(smaller((ROOT / "config" / "_base_" / name).read_text()))
    shutil.copytree(ROOT / "config" / "light", folder / "config" / "light")
    (folder / "weights").symlink_to(ROOT / "weights")
    for name, content in configs().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(smaller(content))
    write_images(folder)
    (folder / "photos").mkdir()
    for path in sorted((folder / "my_images").glob("*.[jp][pn]g"))[:3]:
        shutil.copy(path, folder / "photos")
    pretrained = folder / "work_dirs" / "kkd_r18_synth" / "checkpoint_last.pth.tar"
    pretrained.parent.mkdir(parents=True)
    model = load_experiment(folder / "config" / "mine" / "r18.py").model
    torch.save({"state_dict": build_detector(model).state_dict()}, pretrained)
    return folder


def write_images(folder: Path) -> None:
    """The same synthetic images as labelme files in `my_images` and as `my_coco.json`."""
    write_dataset(folder / "synthetic", train=18, test=0, size=(96, 96), seed=0)
    images = folder / "my_images"
    images.mkdir()
    coco = {"images": [], "annotations": []}
    for number, record in enumerate(CTW1500(folder / "synthetic", "train")):
        shutil.copy(record.image_path, images)
        height, width = cv2.imread(str(record.image_path)).shape[:2]
        name = record.image_path.name
        shapes = [
            {"label": "illegible" if i == 2 else "text", "points": polygon.tolist(), "shape_type": "polygon"}
            for i, polygon in enumerate(record.polygons)
        ]
        content = {"shapes": shapes, "imagePath": name, "imageHeight": height, "imageWidth": width, "imageData": None}
        (images / f"{record.name}.json").write_text(json.dumps(content))
        coco["images"].append({"id": number, "file_name": name, "height": height, "width": width})
        coco["annotations"] += [
            {"id": 100 * number + i, "image_id": number, "segmentation": [polygon.ravel().tolist()]}
            for i, polygon in enumerate(record.polygons)
        ]
    (folder / "my_coco.json").write_text(json.dumps(coco))


def test_every_command_works_in_order(workplace, monkeypatch):
    monkeypatch.setattr("conftest.ROOT", workplace)  # the folder that scripts are run in
    for python, script, *options in commands():
        assert python == "python"
        run_script(script if script == "-m" else ROOT / script, *options)
    assert {path.name for path in (workplace / "outputs" / "browse").iterdir()} == {
        "mine_r18_train.jpg",
        "mine_r18_test.jpg",
    }
    fast, released = (read_checkpoint(workplace / name)["config"] for name in (FAST, RELEASED))
    assert fast["model"]["backbone"]["expansion"] == 2 and fast["data"]["unlabelled"]["predictions"] == "photos.json"
    assert fast["train_cfg"]["pretrain"] == "work_dirs/mine_m/checkpoint_last.pth.tar"
    assert fast["data"]["train"]["kernel_scale"] == released["data"]["train"]["kernel_scale"]
    assert len(list((workplace / "found").iterdir())) == 3
    student = read_checkpoint(workplace / "work_dirs" / "mine_distill" / "checkpoint_best.pth.tar")
    assert student["epoch"] == 1 and student["config"]["distiller"]["type"] == "KernelMaskDistiller"
    finetuned = read_checkpoint(workplace / "work_dirs" / "mine_finetuned" / "checkpoint_last.pth.tar")
    assert finetuned["config"]["train_cfg"]["pretrain"] and finetuned["config"]["train_cfg"]["lr"] == 1e-4
    results = json.loads((workplace / "work_dirs" / "mine_r18" / "results.json").read_text())
    assert (results["protocol"], results["variant"]) == ("total_text", "iou")
    assert len(list((workplace / "pictures").iterdir())) == len(results["per_image"]) > 0


def test_configs_of_the_guide_fit_the_networks_that_are_shipped(tmp_path):
    shutil.copytree(ROOT / "config" / "_base_", tmp_path / "config" / "_base_")
    (tmp_path / "config" / "mine").mkdir()
    for name, content in configs().items():
        (tmp_path / name).write_text(content)
    names = [name for name in configs() if "_base_" not in name]
    assert sorted(names) == [f"config/mine/{name}.py" for name in ("distill", "r18", "r50")]
    for name in names:
        cfg = load_experiment(tmp_path / name)
        assert cfg.data.train.reader is TotalText and cfg.test_cfg.protocol == "total_text"


def test_ground_truth_of_the_guide_is_read():
    [block] = blocks("text")
    instances = total_text.parse_text(block, "guide")
    assert [len(instance.polygon) for instance in instances] == [4, 6, 4]
    assert [instance.transcription for instance in instances] == ["OPEN", "Café", "#"]
    assert instances[2].orientation == "#"


def test_messages_of_the_guide_are_those_of_the_program():
    rows = re.findall(r"^\| `([^`]+)` \|", GUIDE, re.MULTILINE)
    folders = ("dataset", "engine", "models", "tools")
    source = "".join(path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert len(rows) == 12
    assert [row for row in rows if row not in source] == []


def test_links_of_the_guide_lead_somewhere():
    for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", GUIDE):
        page = ROOT / "docs" / target if target else ROOT / "docs" / "custom_dataset.md"
        if page.is_dir():
            page /= "README.md"
        titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not anchor or anchor in anchors
