"""Small configs of object detectors for all stages of multi-neck distillation, and changed copies of what they read."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from conftest import run_script

from engine.experiment import load_experiment
from engine.training.stages import centers_path, features_path
from models.weights import read_checkpoint

SHAPES = dict(
    root="",
    classes=6,
    train=("annotations/instances_train2017.json", "train2017"),
    test=("annotations/instances_val2017.json", "val2017"),
)
CONFIG = """
model = dict(
    type="RCNN",
    backbone=dict(type="TorchvisionResNet", depth=18),
    neck=dict(type="{neck}", channels=16),
    rpn=dict(
        type="RPN", sizes=(16, 24, 32, 48, 64), pre_nms_train=50, post_nms_train=30, pre_nms_test=50, post_nms_test=30
    ),
    heads=dict({heads}, representation=32, detections=20),
    num_classes={classes},
)
data = dict(
    batch_size=2,
    num_workers=0,
    root="{root}",
    train=dict(type="COCO", annotations="{train[0]}", images="{train[1]}", short_sides=[64], long_side=96),
    test=dict(type="COCO", annotations="{test[0]}", images="{test[1]}", short_side=64, long_side=96),
)
train_cfg = dict(lr=0.01, schedule=[2], epoch=2, optimizer="SGD", momentum=0.9, clip_grad=35.0, val_interval=1)
"""
HEADS = {"faster": 'type="FasterHeads"', "cascade": 'type="CascadeHeads", mask=True, mask_channels=16'}


def write_configs(folder: Path, data: dict, second: str = "cascade") -> dict[str, Path]:
    """Small configs: 'faster' and 'cascade' are teachers, 'distill' is a student of 'faster' and `second`."""
    texts = {name: CONFIG.format(**data, neck="FPN", heads=heads) for name, heads in HEADS.items()}
    texts["cascade"] += "data['train']['with_masks'] = True\n"
    teachers = [
        dict(
            config=str(folder / f"{name}.py"),
            checkpoint=str(folder / name / "checkpoint_last.pth.tar"),
            centers=str(centers_path(features_path(folder / "distill", number))),
            cfg_options=["model.heads.predict_masks=False"] if name == "cascade" else [],
        )
        for number, name in enumerate(("faster", second), 1)
    ]
    distiller = dict(type="MultiNeckDistiller", channels=16, teachers=teachers)
    texts["distill"] = (
        CONFIG.format(**data, neck="MultiNeckFPN", heads=HEADS["faster"]) + f"distiller = {distiller!r}\n"
    )
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return {name: folder / f"{name}.py" for name in texts}


def run_stages(configs: dict[str, Path], steps: int, teachers: tuple[str, ...] = ("faster", "cascade")) -> str:
    """All three stages with as many steps each; returns what the last one printed."""
    folder = configs["distill"].parent
    for name in dict.fromkeys(teachers):
        run_script("train.py", configs[name], "--work-dir", folder / name, "--max-steps", steps)
    run_script("tools/collect_roi_features.py", configs["distill"], "--out", folder / "distill")
    run_script("tools/fit_centers.py", *(features_path(folder / "distill", number) for number in (1, 2)))
    return run_script("train.py", configs["distill"], "--work-dir", folder / "distill", "--max-steps", steps)


def load(path: Path, *options: str):
    """A config and its training split."""
    cfg = load_experiment(path, options)
    return cfg, cfg.task.train_set(cfg.data.train, seed=0)


def changed_checkpoint(source: Path, path: Path, **changes) -> Path:
    torch.save({**read_checkpoint(source), **changes}, path)
    return path


def changed_annotations(root: Path, path: Path, change: Callable[[dict], object]) -> str:
    """The training annotations after `change`, as an option of a config."""
    content = json.loads((root / SHAPES["train"][0]).read_text())
    change(content)
    path.write_text(json.dumps(content))
    return f"data.train.annotations={path}"
