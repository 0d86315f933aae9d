"""A checkpoint is enough to detect: no config file, no labels, no data root."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import run_script
from exported_networks import needs_packages, picture
from PIL import Image
from stage_configs import SHAPES, write_configs

from dataset import read_image
from dataset.synthetic.shape_set import write_coco
from engine.experiment import load_experiment
from engine.inference import Predictor
from engine.inference.evaluator import Evaluator
from engine.training.checkpoint import load_detector, new_detector, save_checkpoint
from errors import InputError
from models.fuse import fuse_batch_norm

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def text(configs, ctw_root, tmp_path_factory):
    """A checkpoint of an untrained student that finds text in places, and its config."""
    path = tmp_path_factory.mktemp("text") / "checkpoint_last.pth.tar"
    cfg = load_experiment(configs["student"], ["test_cfg.min_area=0", "test_cfg.min_score=0.25"])
    torch.manual_seed(0)
    detector = new_detector(cfg.model).eval()
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    with torch.no_grad():
        maps = detector(dataset[0].image[None]).logits[0, :2]
        detector.head.conv2.bias[:2] -= maps.flatten(1).median(1).values  # half of the image is text, half a kernel
    save_checkpoint(path, detector.state_dict(), cfg.config, 1, {})
    return path, cfg


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """The same for a detector of shapes, with masks."""
    folder = tmp_path_factory.mktemp("objects")
    write_coco(folder / "shapes", train=2, val=3, size=(64, 64), seed=2)
    configs = write_configs(folder, {**SHAPES, "root": (folder / "shapes").as_posix()})
    cfg = load_experiment(configs["cascade"], ["test_cfg.variant=segm", "data.test.short_side=80"])
    torch.manual_seed(0)
    state, names = new_detector(cfg.model).state_dict(), cfg.task.train_set(cfg.data.train, 0).classes
    save_checkpoint(folder / "checkpoint_last.pth.tar", state, cfg.config, 1, {}, names)
    return folder / "checkpoint_last.pth.tar", cfg


def of_test_set(checkpoint: Path, cfg) -> tuple[list, list[Path]]:
    """What test.py finds, and the images."""
    task, settings = cfg.task, cfg.test_cfg
    dataset = task.test_set(cfg.data.test, settings)
    detector = fuse_batch_norm(load_detector(cfg.model, checkpoint)[0])
    found = Evaluator(detector, settings, CPU).predict(dataset)
    return list(found.values()), [dataset.image_path(index) for index in range(len(dataset))]


@pytest.mark.parametrize(("workers", "batch_size"), [(0, 1), (1, 2)])
def test_text_in_paths_arrays_and_lists_as_in_the_test_set(text, tmp_path, workers, batch_size):
    checkpoint, cfg = text
    expected, paths = of_test_set(checkpoint, cfg)
    assert sum(map(len, expected)) > 0
    moved = [Path(shutil.copy(path, tmp_path)) for path in paths]
    predictor = Predictor.load(checkpoint, device="cpu", workers=workers, batch_size=batch_size)
    arrays = [read_image(path) for path in paths]
    for found in (predictor(moved), predictor(list(map(str, moved))), predictor(arrays), list(map(predictor, moved))):
        assert len(found) == len(expected)
        for own, other in zip(found, expected):
            assert len(own) == len(other)
            for one, two in zip(own, other):
                np.testing.assert_allclose(one.polygon, two.polygon, atol=1e-4)
                assert one.score == pytest.approx(two.score, abs=1e-5)
    assert predictor([]) == [] and predictor.classes == ()


def test_objects_as_in_the_test_set_with_the_names_of_classes(objects):
    checkpoint, cfg = objects
    expected, paths = of_test_set(checkpoint, cfg)
    predictor = Predictor.load(checkpoint, device="cpu")
    for own, other in zip(predictor(paths), expected, strict=True):
        assert len(own["boxes"]) > 0 and own["segmentations"] == other["segmentations"]
        np.testing.assert_array_equal(own["boxes"], other["boxes"])
        np.testing.assert_array_equal(own["labels"], other["labels"])
    assert len(predictor.classes) == 6 and own["labels"].max() <= 6


def test_predict_py_with_an_object_detector(objects, tmp_path):
    checkpoint, cfg = objects
    expected, paths = of_test_set(checkpoint, cfg)
    command = ["predict.py", checkpoint, *paths, "--device", "cpu"]
    output = run_script(*command, "--json", tmp_path / "a.json", "--vis", tmp_path / "vis")
    assert f"{len(paths)} images, {sum(len(found['boxes']) for found in expected)} detections" in output
    for image, other in zip(json.loads((tmp_path / "a.json").read_text())["images"], expected, strict=True):
        assert [d["label"] for d in image["detections"]] == other["labels"].tolist()
        np.testing.assert_allclose([d["box"] for d in image["detections"]], other["boxes"], atol=0.01)
        assert all(d["class"] == Predictor.load(checkpoint).classes[d["label"] - 1] for d in image["detections"][:1])
    assert sorted(path.stem for path in (tmp_path / "vis").iterdir()) == sorted(path.stem for path in paths)
    for option in (["--crops", tmp_path / "c"], ["--maps", tmp_path / "m"], ["--txt", tmp_path / "t"], ["--tile", 64]):
        refused = run_script(*command, *option, code=2)
        assert "is of an object detector" in refused and option[0] in refused and "Traceback" not in refused


def test_threads_reach_torch(text):
    before = torch.get_num_threads()
    try:
        Predictor.load(text[0], device="cpu", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_photographs_of_any_size(text, tmp_path):
    predictor = Predictor.load(text[0], device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (37, 211, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photograph.png"), image[..., ::-1])
    [same] = {str(predictor(image)), str(predictor(tmp_path / "photograph.png"))}
    found = predictor(image)
    assert found and all((d.polygon >= -1).all() and (d.polygon <= (212, 38)).all() for d in found), same


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 8), "uint8"), ((8, 8, 3), "float64"), ((0, 8, 3), "uint8"), ((8, 8, 4), "uint8")]
)
def test_arrays_that_are_no_images(text, shape, kind):
    with pytest.raises(InputError, match=r"image 0: an array .* expected \(H, W, 3\) uint8, RGB"):
        Predictor.load(text[0], device="cpu")(np.zeros(shape, kind))


@pytest.mark.parametrize("what", [b"\x89PNG", bytearray(b"a"), Image.new("RGB", (8, 8)), 5, None])
def test_what_is_no_picture_is_said(text, what):
    """Bytes are no list of numbers, which would be those of open files."""
    predictor = Predictor.load(text[0], device="cpu")
    for given in (what, [what]):
        with pytest.raises(InputError, match=r"is of \w+; expected an array \(H, W, 3\) uint8"):
            predictor(given)


@needs_packages
@pytest.mark.parametrize("runtime", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("workers", [0, 2])
def test_threads_may_share_a_predictor(text, bright_model, runtime, workers):
    path = text[0] if runtime == "torch" else bright_model
    predictor = Predictor.load(path, runtime, "cpu", threads=1, workers=workers)
    pictures = [picture(96, 160, *[(16, 8 + 24 * i, 80, 24 + 24 * i) for i in range(n)]) for n in range(4)]
    expected = [str(predictor(image)) for image in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: str(predictor(pictures[number % 4])), range(80)))
    assert len({*expected}) == 4 and found == expected * 20


def test_files_that_are_no_images_and_checkpoints_that_know_no_config(text, tmp_path):
    predictor = Predictor.load(text[0], device="cpu")
    with pytest.raises(InputError, match=r"missing\.jpg"):
        predictor([tmp_path / "missing.jpg"])
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.jpg"):
        predictor(tmp_path / "bad.jpg")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "published.pth")
    with pytest.raises(InputError, match="does not hold the config"):
        Predictor.load(tmp_path / "published.pth")


def test_what_train_py_writes_is_enough(configs, tmp_path):
    run_script("train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path, "--max-steps", 1)
    predictor = Predictor.load(tmp_path / "checkpoint_last.pth.tar", device="cpu", precision="bf16")
    assert predictor.min_score == 0.3 and predictor.short_side == 64
    assert isinstance(predictor(np.zeros((64, 64, 3), np.uint8)), list)
