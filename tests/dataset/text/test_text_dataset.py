"""Sampler, dataset and batches, on small data sets written here in CTW1500 layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dataset import (
    EpochSampler,
    TestSample,
    TextBatch,
    TextRecord,
    TrainTransform,
    UnreadableImage,
    build_dataset,
    collate,
)
from dataset.image_dataset import UNREADABLE
from dataset.text.dataset import CROWDED, OUTSIDE
from errors import InputError

TRAIN = {"type": "CTW1500", "split": "train", "img_size": 64, "short_size": 64, "kernel_scale": 0.7}
TEST = {"type": "CTW1500", "split": "test", "short_size": 64}


def stripe(x: int, y: int, w: int = 49, h: int = 14) -> str:
    """A label line: 7 points along the top, 7 back along the bottom."""
    top = [(w * i // 6, 0) for i in range(7)]
    offsets = top + [(dx, h) for dx, _ in reversed(top)]
    return ",".join(map(str, (x, y, x + w, y + h, *np.ravel(offsets))))


def write_split(root: Path, count: int, split: str = "train", labels: dict[int, str] | None = None) -> list[Path]:
    images, texts = root / split / "text_image", root / split / "text_label_curve"
    images.mkdir(parents=True)
    texts.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for i in range(count):
        cv2.imwrite(str(images / f"{i:04}.jpg"), rng.integers(0, 256, (80, 120, 3), np.uint8))
        line = stripe(int(rng.integers(0, 70)), int(rng.integers(0, 60)))
        (texts / f"{i:04}.txt").write_text((labels or {}).get(i, line))
    return sorted(images.iterdir())


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def arrays(sample) -> list[np.ndarray]:
    t = sample.targets
    return [sample.image, t.text, t.kernels, t.training_mask, t.instances]


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(second)))


# --- sampler


def test_sampler_is_a_function_of_seed_and_epoch():
    sampler = EpochSampler(50, seed=3)
    first = list(sampler)
    assert first == list(sampler) and sorted(i for _, i in first) == list(range(50))
    sampler.set_epoch(1)
    second = list(sampler)
    assert {e for e, _ in second} == {1} and [i for _, i in second] != [i for _, i in first]
    resumed = EpochSampler(50, seed=3)
    resumed.set_epoch(1)
    assert list(resumed) == second
    assert list(EpochSampler(3, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]
    assert [i for _, i in EpochSampler(50, seed=4)] != [i for _, i in first]


@pytest.mark.parametrize(("length", "world"), [(50, 4), (48, 4), (3, 8), (1, 1)])
def test_ranks_share_one_order(length, world):
    parts = [list(EpochSampler(length, 1, rank=r, world_size=world)) for r in range(world)]
    assert {len(p) for p in parts} == {len(EpochSampler(length, 1, rank=0, world_size=world))}
    dealt = [p[i] for i in range(len(parts[0])) for p in parts]
    order = list(EpochSampler(length, 1))
    assert dealt[:length] == order
    assert dealt[length:] == (order * world)[: len(dealt) - length]


@pytest.mark.parametrize(("length", "parts", "world"), [(50, 4, 1), (48, 4, 2), (7, 3, 2)])
def test_parts_share_the_order_of_one_epoch(length, parts, world):
    whole = list(EpochSampler(length, 1))
    dealt = []
    for part in range(parts):
        samplers = [EpochSampler(length, 1, parts, rank=r, world_size=world) for r in range(world)]
        for sampler in samplers:
            sampler.set_epoch(part)
        assert len({len(list(sampler)) for sampler in samplers} | {len(samplers[0])}) == 1
        dealt += [sample for turn in zip(*samplers) for sample in turn]
    assert dealt[:length] == whole and dealt[length:] == whole[: len(dealt) - length]
    later = EpochSampler(length, 1, parts)
    later.set_epoch(parts)
    assert {epoch for epoch, _ in later} == {1}


@pytest.mark.parametrize("bad", [{"length": 0}, {"length": 1, "rank": 1}, {"length": 1, "seed": -1}])
def test_sampler_refuses(bad):
    with pytest.raises(ValueError, match="EpochSampler"):
        EpochSampler(**bad)


# --- dataset


def test_sample_depends_on_seed_epoch_and_index_only(tmp_path):
    write_split(tmp_path, 4)
    dataset = build_dataset(TRAIN, tmp_path, training=True, seed=5)
    sample = dataset[(2, 1)]
    assert same(dataset[(0, 1)], dataset[1])
    assert same(sample, build_dataset(TRAIN, tmp_path, training=True, seed=5)[(2, 1)])
    for other in (
        dataset[(1, 1)],
        dataset[(2, 2)],
        build_dataset(TRAIN, tmp_path, training=True, seed=6)[(2, 1)],
    ):
        assert not same(sample, other)
    with pytest.raises(IndexError):
        dataset[4]


def test_batches_do_not_depend_on_workers(tmp_path):
    write_split(tmp_path, 6, labels={2: ""})
    dataset = build_dataset(TRAIN, tmp_path, training=True, seed=1)
    runs = []
    for workers in (0, 2):
        sampler = EpochSampler(len(dataset), seed=1)
        sampler.set_epoch(3)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=collate)
        runs.append(list(loader))
    assert len(runs[0]) == 3
    for alone, worked in zip(*runs):
        assert alone.names == worked.names
        for name in ("images", "text", "kernels", "training_mask", "instances"):
            assert torch.equal(getattr(alone, name), getattr(worked, name))


@pytest.mark.parametrize(("kernels", "count"), [({"kernel_scale": 0.5}, 1), ({"kernel_num": 7, "min_scale": 0.7}, 6)])
def test_batch_shapes_and_types(tmp_path, kernels, count):
    write_split(tmp_path, 3, labels={1: ""})
    options = {k: v for k, v in TRAIN.items() if k != "kernel_scale"} | kernels
    dataset = build_dataset(options, tmp_path, training=True)
    batch = collate([dataset[i] for i in range(3)])
    assert batch.images.shape == (3, 3, 64, 64) and batch.images.dtype == torch.float32
    assert batch.kernels.shape == (3, count, 64, 64)
    for maps in (batch.text, batch.training_mask, batch.instances):
        assert maps.shape == (3, 64, 64) and maps.dtype == torch.uint8
    assert batch.names == ["0000", "0001", "0002"]
    assert not batch.text[1].any() and batch.training_mask[1].all()
    moved = batch.to("cpu")
    assert isinstance(moved, TextBatch) and torch.equal(moved.images, batch.images) and moved.names == batch.names


def test_crops_are_drawn_over_text_that_is_learnt():
    """A small text at the left, text to be ignored over the right half: 5/8 of the crops hold the former."""
    image = np.zeros((200, 400, 3), np.uint8)
    boxes = [[(20, 90), (60, 90), (60, 110), (20, 110)], [(200, 10), (390, 10), (390, 190), (200, 190)]]
    polygons = [np.array(box, np.float32) for box in boxes]
    record = TextRecord(Path("a.jpg"), polygons, np.array([False, True]), ["a", "###"])
    transform = TrainTransform(img_size=64, short_size=192, kernel_scale=0.7)
    samples = [transform(image, record, np.random.default_rng(seed)) for seed in range(60)]
    assert sum(sample.targets.instances.any() for sample in samples) > 30


def test_test_sample(tmp_path):
    write_split(tmp_path, 2, "test", labels={1: ""})
    dataset = build_dataset(TEST, tmp_path, training=False)
    sample = dataset[0]
    assert isinstance(sample, TestSample) and sample.name == "0000" and sample.original_size == (80, 120)
    assert sample.image.shape == (3, 64, 96) and sample.image.dtype == torch.float32
    assert len(sample.record.polygons) == 1 and dataset[1].record.polygons == []
    loaded = next(iter(DataLoader(dataset, batch_size=None)))  # one at a time, not collated
    assert torch.equal(loaded.image, sample.image)


def test_polygons_outside_the_image_are_dropped_and_counted(tmp_path, caplog):
    lines = [stripe(10, 10), stripe(200, 10), stripe(-80, 10), stripe(-20, 10)]
    write_split(tmp_path, 2, labels={0: "\n".join(lines), 1: stripe(10, 500)})
    write_split(tmp_path, 1, "test", labels={0: "\n".join(lines)})
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    for epoch in range(2):  # a second epoch counts nothing twice
        for index in range(2):
            dataset[(epoch, index)]
    assert dataset.issues.total(OUTSIDE) == 3 and dataset.issues.samples(OUTSIDE) == 2
    assert dataset.issues.summary() == [f"CTW1500 train: 3 {OUTSIDE}"]
    assert caplog.text.count(OUTSIDE) == 1 and "0000.jpg" in caplog.text
    assert len(build_dataset(TEST, tmp_path, training=False)[0].record.polygons) == 2


def test_more_than_200_instances_are_counted(tmp_path):
    write_split(tmp_path, 1, labels={0: "\n".join(stripe(i % 60, i % 50, 12, 6) for i in range(203))})
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    sample = dataset[0]
    assert dataset.issues.total(CROWDED) == 3 and sample.targets.instances.max() <= 200


def test_unreadable_training_image_is_replaced_by_the_next(tmp_path, caplog):
    images = write_split(tmp_path, 200)
    cut(images[7])
    cut(images[8])
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    first, again = dataset[(1, 7)], dataset[(1, 7)]
    assert first.name == "0009" and same(first, again)
    assert dataset.issues.samples(UNREADABLE) == 2 and "skipped" in caplog.text and "0007.jpg" in caplog.text


def test_too_many_unreadable_images_stop_training(tmp_path):
    images = write_split(tmp_path, 200)
    for image in images[10:13]:
        cut(image)
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    assert dataset[(0, 11)].name == "0013"
    with pytest.raises(InputError, match=r"CTW1500 train: 3 of 200 images cannot be read, more than 1%"):
        dataset[(0, 10)]


def test_workers_count_unreadable_images_together(tmp_path):
    """Each of two workers meets one of two bad images in 150: together more than 1 %."""
    images = write_split(tmp_path, 150)
    cut(images[0])
    cut(images[60])  # in the second batch of 50
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    sampler = EpochSampler(150, shuffle=False)
    with pytest.raises(InputError, match="2 of 150 images cannot be read"):
        list(DataLoader(dataset, 50, sampler=sampler, num_workers=2, collate_fn=collate))
    assert dataset.issues.samples(UNREADABLE) == 2


def test_any_unreadable_image_stops_a_small_run_and_every_test(tmp_path):
    cut(write_split(tmp_path, 3)[1])
    cut(write_split(tmp_path, 3, "test")[1])
    with pytest.raises(InputError, match="1 of 3 images"):
        build_dataset(TRAIN, tmp_path, training=True)[1]
    with pytest.raises(UnreadableImage, match=r"0001\.jpg"):
        build_dataset(TEST, tmp_path, training=False)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "CTW1501"}, "data.train.type is 'CTW1501'; set it to one of: .*CTW1500"),
        ({"type": None}, "data.train.type is None"),
        ({"img_sise": 640}, "data.train.img_sise is not an option; .*img_size"),
        ({"root": "elsewhere"}, "data root elsewhere: no folder"),
        ({"split": "val"}, "CTW1500 has no split 'val'"),
        ({"img_size": 100}, "img_size is 100; give a positive multiple of 32"),
        ({"short_size": 0}, "short_size is 0"),
        ({"text_crops": 1.5}, "text_crops is 1.5"),
        ({"kernel_scale": None}, "give kernel_scale"),
        ({"kernel_num": 7, "min_scale": 0.5}, "give kernel_scale"),
        ({"kernel_scale": None, "kernel_num": 7}, "go together"),
        ({"kernel_scale": 1.5}, "a value above 0, at most 1"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        build_dataset(TRAIN | change, tmp_path, training=True)


def test_split_is_required(tmp_path):
    with pytest.raises(InputError, match=r"data\.test\.split is missing; set it to one of: train, test"):
        build_dataset({"type": "CTW1500"}, tmp_path, training=False)


def test_dataset_survives_pickling_for_spawned_workers(tmp_path):
    write_split(tmp_path, 2)
    dataset = build_dataset(TRAIN, tmp_path, training=True)
    assert same(pickle.loads(pickle.dumps(dataset))[1], dataset[1])


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 40), (5 / 8, 110, 140), (1.0, 190, 200)])
def test_the_share_of_crops_at_text_is_that_of_the_config(share, low, high):
    """One small word in a large image, which a window elsewhere seldom meets."""
    word = np.array([(300, 250), (330, 250), (330, 265), (300, 265)], np.float32)
    record = TextRecord(Path("a.png"), [word], np.zeros(1, bool), [""])
    image = np.zeros((500, 500, 3), np.uint8)
    transform = TrainTransform(64, 500, kernel_scale=0.5, text_crops=share)
    found = sum(transform(image, record, np.random.default_rng(seed)).targets.text.any() for seed in range(200))
    assert low <= found <= high
