"""Inference in batches and in several processes gives what one image at a time in one process gives."""

import copy
import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from conftest import run_script
from hypothesis import given
from hypothesis import strategies as st
from stage_configs import SHAPES, write_configs
from text_networks import small_model
from torch import Tensor, nn

from dataset import TestTransform, build_dataset
from dataset.synthetic.shape_set import write_coco
from dataset.synthetic.text_set import label_line
from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.inference.flow import WAITING, same_size_batches
from engine.inference.pipeline import network_outputs
from engine.inference.speed import STEPS, measure_speed, speed_table
from engine.settings import TestSettings
from engine.tasks import TASKS
from engine.tasks.base import NetworkInput
from errors import InputError
from models import TextOutput, build_detector
from models.fuse import fuse_batch_norm

CPU, TEXT = torch.device("cpu"), TASKS["text"]
SIZES = [(64, 64), (64, 96), (64, 64), (96, 64), (64, 96), (64, 64), (64, 64)]  # (H, W)
SETTINGS = TestSettings(min_score=0.5)


def boxes_of(number: int) -> list[tuple[int, int, int, int]]:
    """x1, y1, x2, y2 of the text of an image, the second column exclusive: one, two or three boxes."""
    return [(8, y, 28 + 4 * number, y + 8) for y in (4, 20, 36)[: 1 + number % 3]]


class Bright(nn.Module):
    """Text and kernels are where the image is bright: exact arithmetic, the same in every batch."""

    task = "text"
    head = SimpleNamespace(maps=("text", "kernel", *["embedding"] * 4))

    def forward(self, images: Tensor) -> TextOutput:
        light = nn.functional.max_pool2d(images, 4).mean(1, keepdim=True)
        return TextOutput((), light, torch.cat([10 * light, light, *[torch.zeros_like(light)] * 4], 1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Black images of three sizes with white boxes; the short side is that of the network input."""
    root = tmp_path_factory.mktemp("boxes")
    for folder in ("text_image", "text_label_curve"):
        (root / "test" / folder).mkdir(parents=True)
    for number, (h, w) in enumerate(SIZES):
        image, lines = np.zeros((h, w, 3), np.uint8), ""
        for x1, y1, x2, y2 in boxes_of(number):
            image[y1:y2, x1:x2] = 255
            points = [(x, y1) for x in np.linspace(x1, x2, 7)] + [(x, y2) for x in np.linspace(x2, x1, 7)]
            lines += label_line(np.array(points)) + "\n"
        cv2.imwrite(str(root / "test" / "text_image" / f"{number}.png"), image)
        (root / "test" / "text_label_curve" / f"{number}.txt").write_text(lines)
    return build_dataset(dict(type="CTW1500", split="test", short_size=64), root, training=False)


def found_boxes(results):
    """Bounds of every polygon, by image."""
    return {
        name: [(*d.polygon.min(0).tolist(), *d.polygon.max(0).tolist()) for d in found]
        for name, found in results.items()
    }


# --- batches


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (2, 0), (3, 0), (100, 0), (1, 1), (2, 2)])
def test_every_batch_size_and_process_count_finds_the_same_in_order(dataset, batch_size, workers):
    results = Evaluator(Bright(), SETTINGS, CPU, batch_size=batch_size, workers=workers).predict(dataset)
    expected = {  # an outline runs through pixel centres
        str(number): [(x1, y1, x2 - 1, y2 - 1) for x1, y1, x2, y2 in boxes_of(number)] for number in range(len(SIZES))
    }
    assert found_boxes(results) == expected
    assert list(results) == list(expected)


def test_polygons_are_in_pixels_of_the_original_image(dataset):
    """The same images twice as large for the network."""
    resized = copy.copy(dataset)
    resized.transform = TestTransform(short_size=128)
    results = Evaluator(Bright(), SETTINGS, CPU).predict(resized)
    assert len(results) == len(SIZES)
    for name, found in found_boxes(results).items():
        expected = [(x1, y1, x2 - 1, y2 - 1) for x1, y1, x2, y2 in boxes_of(int(name))]
        np.testing.assert_allclose(sorted(found), sorted(expected), atol=1)


def test_indices_choose_images_and_their_order(dataset):
    results = Evaluator(Bright(), SETTINGS, CPU, batch_size=2).predict(dataset, [5, 1, 3, 0])
    assert list(results) == ["5", "1", "3", "0"]


def test_progress_is_told_of_every_image(dataset):
    seen = []

    def track(items, total):
        for item in items:
            seen.append((item.key, total))
            yield item

    Evaluator(Bright(), SETTINGS, CPU, batch_size=2).predict(dataset, track=track)
    assert seen == [(str(number), len(SIZES)) for number in range(len(SIZES))]


@given(st.lists(st.sampled_from([(3, 32, 32), (3, 32, 64), (3, 64, 32), (3, 64, 64)])), st.integers(1, 5))
def test_batches_hold_images_of_one_size_and_few_wait(shapes, batch_size):
    taken = 0

    def inputs():
        nonlocal taken
        for taken, shape in enumerate(shapes, 1):
            yield NetworkInput(taken, torch.empty(shape), shape[1:], shape[1:])

    batches, given_away = [], 0
    for batch in same_size_batches(inputs(), batch_size):
        assert taken - given_away <= WAITING * batch_size
        batches.append(batch)
        given_away += len(batch)
    assert all(len({item.image.shape for item in batch}) == 1 and 1 <= len(batch) <= batch_size for batch in batches)
    for shape in set(shapes):  # all of them, once, in order
        numbers = [item.key for batch in batches for item in batch if item.image.shape == shape]
        assert numbers == [number for number, other in enumerate(shapes, 1) if other == shape]
    if len(set(shapes)) == 1:  # none goes before it is full
        assert all(len(batch) == batch_size for batch in batches[:-1])


def test_logits_of_a_batch_are_those_of_its_images(dataset):
    torch.manual_seed(0)
    network = Evaluator(fuse_batch_norm(build_detector(small_model())), SETTINGS, CPU).network
    one, three = (
        {
            output.key: output
            for output in network_outputs(network, map(TEXT.network_input, dataset), CPU, "32", batch_size)
        }
        for batch_size in (1, 3)
    )
    assert one.keys() == three.keys() == {str(number) for number in range(len(SIZES))}
    for name, output in one.items():
        logits = output.arrays["logits"]
        assert logits.shape == (6, SIZES[int(name)][0] // 4, SIZES[int(name)][1] // 4) and logits.dtype == np.float32
        scale = np.abs(logits).max()
        np.testing.assert_allclose(three[name].arrays["logits"], logits, rtol=0, atol=1e-5 * scale)
        assert output.size == output.original_size == SIZES[int(name)]


def test_object_detectors_find_the_same_in_batches_and_processes(tmp_path):
    write_coco(tmp_path / "shapes", train=1, val=3, size=(64, 64), seed=2)
    configs = write_configs(tmp_path, {**SHAPES, "root": (tmp_path / "shapes").as_posix()})
    cfg = load_experiment(configs["cascade"], ["data.test.short_side=50", "test_cfg.variant=segm"])  # padded to 64
    task, settings = cfg.task, cfg.test_cfg
    torch.manual_seed(0)
    detector, dataset = build_detector(cfg.model).eval(), task.test_set(cfg.data.test, settings)
    one, batch = (
        Evaluator(detector, settings, CPU, batch_size=batch_size, workers=workers).predict(dataset)
        for workers, batch_size in ((0, 1), (1, 3))
    )
    assert list(one) == list(batch) == [dataset.record(index).image_id for index in range(3)]
    for image_id, found in one.items():
        assert len(found["boxes"]) and found["labels"].tolist() == batch[image_id]["labels"].tolist()
        np.testing.assert_allclose(batch[image_id]["boxes"], found["boxes"], atol=1e-3)
        assert len(batch[image_id]["segmentations"]) == len(found["segmentations"]) == len(found["boxes"])
    speed = measure_speed(Evaluator(detector, settings, CPU, batch_size=3), dataset, range(3), images=3)
    assert all(math.isfinite(value) and value > 0 for value in speed.values())
    with pytest.raises(InputError, match="has no masks; use 'bbox'"):  # raised in another process
        faster = build_detector(load_experiment(configs["faster"]).model).eval()
        Evaluator(faster, settings, CPU, workers=1).predict(dataset)


# --- speed


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 1)])
def test_speed_of_every_stage_and_of_all_together(dataset, batch_size, workers):
    predictor = Evaluator(Bright(), SETTINGS, CPU, batch_size=batch_size, workers=workers)
    speed = measure_speed(predictor, dataset, range(4), images=6)
    assert list(speed) == [*STEPS, "images_per_second", "images_per_second_in_turn"]
    assert all(math.isfinite(value) and value > 0 for value in speed.values())
    total = sum(speed[step] for step in STEPS)
    assert speed["images_per_second_in_turn"] == pytest.approx(1000 / total)
    lines = speed_table(speed).splitlines()
    assert [line.split()[0] for line in lines] == list(speed)


def test_a_batch_of_no_images_is_refused(configs, tmp_path):
    message = run_script("test.py", configs["student"], tmp_path / "none.pth.tar", "--batch_size", 0, code=2)
    assert message == "error: --batch-size 0: expected 1 or more\n"
