"""Every shipped config loads, builds its networks at full size, and makes one training step."""

import copy
import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_process, run_script
from PIL import Image
from shipped_configs import CONFIGS
from text_networks import random_batch

from dataset import collate_objects
from dataset.text.targets import shrink_ratios
from distillation import Centers
from distillation.multineck.centers import save_centers
from engine.cli import run_name
from engine.experiment import experiment_of, load_experiment
from engine.tasks import TASKS
from engine.training.module import TrainingModule
from engine.training.run import build_learner
from engine.training.schedule import multistep, poly
from engine.training.stages import centers_path, features_path, provenance
from engine.training.teachers import Teacher
from models import build_detector
from models.weights import read_weights


def teachers_of(cfg) -> list:
    return list(cfg.distiller.teachers) if cfg.distiller else []


def networks(cfg) -> str:
    """What decides how a config builds and steps: all but data, schedule and the paths of checkpoints.

    Neither do the number of classes, nor whether a cascade lacks a mask head that another has.
    """
    options = cfg.distiller and (cfg.distiller.kind, cfg.distiller.options)
    models = [cfg.model, *(load_experiment(teacher.config).model for teacher in teachers_of(cfg))]
    parts = [{**model, "num_classes": 0, "heads": {**model.get("heads", {}), "mask": False}} for model in models]
    return repr((parts, cfg.loss, options, cfg.train_cfg.optimizer, cfg.config["data"]["train"].get("kernel_num")))


@pytest.fixture(scope="module")
def distinct():
    """One config file for each combination of networks, losses and optimiser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {networks(load_experiment(path)): path for path in reversed(CONFIGS)}


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory):
    """A function: path of a teacher's config to a checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("teachers")

    def checkpoint(config: str) -> str:
        path = folder / f"{run_name(config)}.pth.tar"
        if not path.exists():
            torch.save({"state_dict": build_detector(load_experiment(config).model).state_dict()}, path)
        return str(path)

    return checkpoint


def one_image_set(root: Path, classes: int, size: tuple[int, int] = (96, 64)) -> dict:
    """Writes one image with two objects in COCO format; returns what `data` needs to know."""
    width, height = size
    root.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(root / "image.png")
    boxes = {1: (4, 8, width // 3, height // 2), 2: (width // 2, 20, width // 3, height // 2)}
    masks = {i: [[x, y, x + w, y, x + w, y + h, x, y + h]] for i, (x, y, w, h) in boxes.items()}
    content = {
        "images": [{"id": 1, "file_name": "image.png", "width": width, "height": height}],
        "annotations": [dict(id=i, image_id=1, category_id=i, bbox=boxes[i], segmentation=masks[i]) for i in boxes],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, classes + 1)],
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return dict(root=str(root), train=dict(annotations="annotations.json", images="."))


def write_centers(cfg, dataset) -> None:
    """Centres of every class for each teacher of a config that asks for them, as stages 1 and 2 would write them."""
    for number, entry in enumerate(teachers_of(cfg), 1):
        if entry.centers:
            descriptors = torch.nn.functional.normalize(torch.rand(len(dataset.classes), 49)).numpy()
            labels = np.arange(1, len(dataset.classes) + 1, dtype=np.int32)
            teacher = Teacher(number, entry.checkpoint, torch.nn.Module(), read_weights(entry.checkpoint), {})
            origin = provenance(cfg, teacher, dataset)
            save_centers(entry.centers, Centers(descriptors, labels, origin))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_shipped_config_builds_and_steps(path, distinct, checkpoint_of, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = load_experiment(path)
    if distinct[networks(cfg)] != path:  # steps under another name
        with torch.device("meta"):
            build_detector({**cfg.model, "backbone": {**cfg.model["backbone"], "pretrained": None}})
        return
    config = copy.deepcopy(cfg.config)
    config["train_cfg"]["pretrain"] = None
    for number, teacher in enumerate(config.get("distiller", {}).get("teachers", []), 1):
        teacher["checkpoint"] = checkpoint_of(teacher["config"])
        if "centers" in teacher:
            teacher["centers"] = str(tmp_path / f"centers{number}.npz")
    if TASKS["objects"] is cfg.task:
        data = one_image_set(tmp_path / "data", cfg.model["num_classes"])
        data["train"]["short_sides"] = [64]
        config["data"].update(data, train={**config["data"]["train"], **data["train"]})
    cfg = experiment_of(config, path)
    if TASKS["objects"] is cfg.task:
        dataset = cfg.task.train_set(cfg.data.train, seed=0)
        write_centers(cfg, dataset)
        learner, batch = build_learner(cfg, dataset), collate_objects([dataset[0]])
        changed = learner.student.backbone["fpn"].inner_blocks[0][0].weight
    else:
        learner = build_learner(cfg)
        batch = random_batch(kernels=learner.student.head.maps.count("kernel"))
        changed = list(learner.student.head.parameters())[-2]  # the last convolution's weight
    optimizer = TrainingModule(learner, cfg.train_cfg, 1).configure_optimizers()
    before = changed.detach().clone()
    losses = learner(batch).losses
    sum(losses.values()).backward()
    optimizer.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert not torch.equal(before, changed)


MAIN = "config/multineck/faster_cascade_r101_to_faster_r50_coco.py"


@pytest.mark.slow
def test_the_main_recipe_steps_at_full_size_within_24_gigabytes(checkpoint_of, tmp_path, monkeypatch, capsys):
    """All three stages, in the published sizes: an image of 800x1333, batch 1."""
    monkeypatch.chdir(ROOT)
    data = one_image_set(tmp_path / "data", classes=80, size=(1333, 800))
    options = [f"data.root={data['root']}", "train_cfg.val_interval=0"]
    for split in ("train", "test"):
        options += [f"data.{split}.{key}={value}" for key, value in data["train"].items()]
    for i, teacher in enumerate(load_experiment(MAIN).distiller.teachers):
        centers = centers_path(features_path(tmp_path, i + 1))
        options += [f"distiller.teachers.{i}.checkpoint={checkpoint_of(teacher.config)}"]
        options += [f"distiller.teachers.{i}.centers={centers}"]
    run_script("tools/collect_roi_features.py", MAIN, "--out", tmp_path, "--device", "cpu", "--cfg-options", *options)
    run_script("tools/fit_centers.py", *(features_path(tmp_path, number) for number in (1, 2)))
    start = time.monotonic()
    output = run_process(
        "train.py", MAIN, "--work-dir", tmp_path / "run", "--max-steps", 2, "--device", "cpu", "--cfg-options", *options
    )
    seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with capsys.disabled():
        losses = next(line for line in output.splitlines() if line.startswith("epoch"))
        print(f"\n{losses}\n2 steps in {seconds:.0f} s, peak memory {peak:.1f} GiB")
    assert (tmp_path / "run" / "checkpoint_last.pth.tar").is_file()
    assert peak < 24


def test_every_multineck_recipe_is_there_and_listed():
    names = {p.stem for p in CONFIGS if p.parent.name == "multineck"}
    both = ("faster_r101", "faster_r50", "faster_r50_multineck", "faster_cascade_r101_to_faster_r50")
    expected = {f"{name}_{data}" for name in (*both, "fgd_faster_r101_to_faster_r50") for data in ("coco", "voc")}
    expected |= {"mask_r101_coco", "cascade_mask_r101_coco", "cascade_r101_voc", "faster_mask_r101_to_faster_r50_coco"}
    assert names == expected
    listed = (ROOT / "config" / "README.md").read_text()
    assert [name for name in names if f"`{name}`" not in listed] == []


def test_multineck_recipe():
    cfg = load_experiment(ROOT / MAIN)
    settings = cfg.train_cfg
    assert (settings.optimizer, settings.lr, settings.momentum, settings.weight_decay) == ("SGD", 0.01, 0.9, 1e-4)
    assert (settings.epoch, list(settings.schedule), settings.warmup, settings.clip_grad) == (16, [8, 11], 500, 35)
    assert cfg.data.batch_size == 1 and cfg.data.train.transform.flip == 0.5
    assert (cfg.data.train.transform.short_sides, cfg.data.train.transform.long_side) == ((800,), 1333)
    assert (cfg.data.test.transform.short_side, cfg.data.test.transform.long_side) == (800, 1333)
    assert cfg.distiller.teachers[1].cfg_options == ["model.heads.predict_masks=False"]
    files = [run_name(path) for path in CONFIGS]
    for path in CONFIGS:
        for teacher in teachers_of(load_experiment(path)):  # what one config writes, the next one reads
            assert Path(teacher.checkpoint).parent.name in (*files, "teacher", "teacher1", "teacher2")
            if path.parent.name == "multineck" and teacher.centers:
                assert Path(teacher.centers).parent == Path("work_dirs", run_name(path))


def test_every_cell_of_the_table_has_a_config():
    names = {p.relative_to(ROOT / "config").with_suffix("").as_posix() for p in CONFIGS}
    sets = ("ctw", "tt", "ic15", "msra")
    expected = {f"kkd/{kind}_{s}" for s in sets for kind in ("r50", "r18", "distill")}
    expected |= {f"pan/r18_{s}{suffix}" for s in sets for suffix in ("", "_finetune")}
    sides = ("ctw", "tt", "ic15_736", "ic15_1024")
    expected |= {f"psenet/r50_{s}{suffix}" for s in sides for suffix in ("", "_finetune")}
    expected |= {f"light/{kind}_{s}" for s in sets[:3] for kind in ("s", "m", "l", "distill_s", "distill_m")}
    expected |= {"kkd/r50_synth", "kkd/r18_synth", "pan/r18_synth", "psenet/r50_synth"}
    assert expected <= names
    listed = (ROOT / "config" / "README.md").read_text()
    assert [name for name in expected if f"`{name.split('/')[1]}`" not in listed] == []


def test_there_is_one_level_of_base_at_most():
    for path in (ROOT / "config" / "_base_").rglob("*.py"):
        assert "_base_ =" not in path.read_text(), path


def test_known_recipes():
    cfg = load_experiment(ROOT / "config/kkd/distill_ctw.py")
    settings = cfg.train_cfg
    assert (settings.lr, settings.schedule, settings.epoch, settings.optimizer) == (
        1e-3,
        "polylr",
        600,
        "Adam",
    )
    assert cfg.data.batch_size == 32 and cfg.data.train.transform.img_size == 640
    assert cfg.data.train.transform.ratios == (0.7,)
    assert load_experiment(ROOT / "config/kkd/r50_ctw.py").train_cfg.epoch == 400
    scores = {"ctw": 0.88, "tt": 0.87, "ic15": 0.85, "msra": 0.86}
    batches = {"ctw": 12, "tt": 8, "ic15": 16, "msra": 16}
    for name in scores:
        cfg = load_experiment(ROOT / f"config/kkd/r18_{name}.py")
        assert cfg.test_cfg.min_score == scores[name] and cfg.data.batch_size == batches[name]
        assert cfg.data.train.transform.ratios == (0.5 if name == "ic15" else 0.7,)
        assert cfg.data.train.transform.short_size == (640 if name in ("ctw", "tt") else 736)


def test_psenet_recipe():
    cfg = load_experiment(ROOT / "config/psenet/r50_ic15_1024.py")
    settings = cfg.train_cfg
    assert (settings.optimizer, settings.lr, settings.momentum, settings.weight_decay) == ("SGD", 1e-3, 0.99, 5e-4)
    assert list(settings.schedule) == [200, 400] and settings.epoch == 600
    assert (
        cfg.data.train.transform.img_size,
        cfg.data.train.transform.short_size,
        cfg.data.test.transform.short_size,
    ) == (736, 1024, 1024)
    assert (cfg.data.train.transform.ratios, cfg.loss["text_weight"]) == (shrink_ratios(7, 0.4), 0.7)
    assert load_experiment(ROOT / "config/psenet/r50_ctw.py").data.train.transform.ratios[-1] == pytest.approx(0.7)
    assert (cfg.test_cfg.bbox_type, cfg.test_cfg.min_score) == ("rect", 0.85)


def test_run_names():
    assert run_name("config/kkd/r50_ctw.py") == "kkd_r50_ctw"
    assert run_name(Path("/somewhere/config/kkd/r50_ctw.py")) == "kkd_r50_ctw"
    assert run_name("mine.py") == "mine"


def test_schedules():
    assert poly(0, 100) == 1 and poly(100, 100) == 0
    assert poly(50, 100) == pytest.approx(0.5**0.9)
    factors = [multistep(step, [200, 400]) for step in (0, 199, 200, 399, 400)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])
