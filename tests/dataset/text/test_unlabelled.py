"""Pictures without labels in the batches of a distillation: which they are, and what is learnt of them."""

import json
from itertools import chain

import cv2
import numpy as np
import pytest
import torch
from conftest import run_script
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from text_networks import random_batch, small_model
from training_record import Draw, note_draws

from dataset import EpochSampler, MixedBatches, MixedDataset, Pictures, TextBatch, TextDataset, TrainTransform, collate
from distillation import MutualDistiller, SoftMapDistiller
from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector, save_checkpoint
from errors import InputError
from models import PANLoss, build_detector


@pytest.fixture
def folder(tmp_path):
    """Four pictures in folders, and what is none."""
    rng = np.random.default_rng(0)
    for name in ("b.jpg", "a/c.PNG", "a/d/e.bmp", "z.webp"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (90, 120, 3), np.uint8))
    for name in ("notes.txt", ".hidden.jpg", "a/._c.png", ".thumbs/b.jpg", "__MACOSX/a/b.jpg"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / name).write_text("no picture")
    return tmp_path / "pictures"


def test_all_pictures_below_the_folder_are_found(folder, tmp_path):
    pictures = Pictures(folder)
    assert [p.relative_to(folder).as_posix() for p in pictures.paths] == ["a/c.PNG", "a/d/e.bmp", "b.jpg", "z.webp"]
    assert pictures[3].polygons == [] and pictures.instance_counts() == (0, 0)
    for place in (tmp_path / "none", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=r"data\.unlabelled\.root=.*no image"):
            Pictures(place)


@pytest.fixture
def detected(folder, tmp_path):
    """What predict.py wrote of three of the pictures, and of a video: text in a corner of one of them."""
    corner = [[100, 70], [118, 70], [118, 88], [100, 88]]
    found = {"b.jpg": [{"polygon": corner, "score": 0.9}], "a/c.PNG": [], "z.webp": []}
    images = [{"file": str(folder / name), "detections": detections} for name, detections in found.items()]
    content = {"images": [*images, {"file": str(folder / "film.mp4"), "frames": []}], "skipped": []}
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(content))
    return path


def test_crops_lie_where_text_was_found(folder, detected, configs, caplog):
    cfg = load_experiment(configs["student"], ["data.train.img_size=32", "data.train.text_crops=1.0"])
    labelled = cfg.task.train_set(cfg.data.train, 0)
    placed, anywhere = (
        MixedDataset(labelled, Pictures(folder, *file), cfg.data.train.transform, 0) for file in ([detected], [])
    )
    names = [path.name for path in placed.pictures.parser.paths]
    place = len(labelled) + names.index("b.jpg")
    samples = [[data[epoch, place] for epoch in range(20)] for data in (placed, anywhere)]
    assert all(sample.targets.text.any() and not sample.labelled for sample in samples[0])
    assert not any(sample.targets.text.any() for sample in samples[1])
    assert placed.pictures.instance_counts() == (1, 0)
    assert "data.unlabelled: 1 pictures without an entry in" in caplog.text and "d/e.bmp" in caplog.text
    assert not placed[0, len(labelled) + names.index("c.PNG")].targets.text.any()


def test_pictures_are_upright_as_their_detections_are(folder):
    picture = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture.save(folder / "0.jpg", exif=exif)
    pictures = TextDataset(Pictures(folder), TrainTransform(32, 32, 0.5))
    assert [pictures.read(index)[0].shape[:2] for index in (0, 1)] == [(60, 40), (90, 120)]


@pytest.mark.parametrize(
    "content, message",
    [
        ("text", "JSONDecodeError"),
        ('{"pictures": []}', "KeyError: 'images'"),
        ('{"images": [{"file": "b.jpg", "detections": [{"box": [0, 0, 9, 9], "label": 1}]}]}', "KeyError: 'polygon'"),
        ('{"images": [{"file": "b.jpg", "detections": [{"polygon": [[0, 0], [9, 9]]}]}]}', "less than 3 points"),
        ('{"images": [{"file": "b.jpg", "detections": [{"polygon": [[0, 0], [9, NaN], [9, 9]]}]}]}', "not of numbers"),
        ('{"images": [{"file": "other.jpg", "detections": []}]}', r"is of none of the 4 pictures in .*pictures"),
        (
            '{"images": [{"file": "b.jpg", "detections": [{"polygon": [[1e999, 0], [9, 9], [9, 0]]}]}]}',
            "not of numbers",
        ),
        (f'{{"images": [{{"file": "b.jpg", "detections": [{{"polygon": [[{10**400}, 0]]}}]}}]}}', "OverflowError"),
        ("[" * 100_000, "RecursionError"),
        (None, "no.json"),
    ],
)
def test_a_file_that_is_not_of_the_pictures_is_refused(folder, tmp_path, content, message):
    path = tmp_path / "no.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        Pictures(folder, path)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 2),
    st.integers(0, 5),
)  # fmt: skip
def test_every_picture_comes_once_before_any_comes_again(images, pictures, batch, share, processes, parts, seed):
    seen: list[list[tuple[int, int]]] = []
    for epoch in range(3 * parts):
        of_processes = []
        for rank in range(processes):
            sampler = EpochSampler(images, seed, parts, rank=rank, world_size=processes)
            sampler.set_epoch(epoch)
            batches = list(MixedBatches(sampler, batch, pictures, share))
            plain = list(sampler)
            assert len(batches) == len(plain) // batch
            for number, keys in enumerate(batches):
                assert keys[:batch] == plain[number * batch : (number + 1) * batch]
                assert len(keys) == batch + share and all(index >= images for _, index in keys[batch:])
            of_processes.append([keys[batch:] for keys in batches])
        seen += [list(chain(*step)) for step in zip(*of_processes)]
    order = list(chain(*seen))
    for start in range(0, len(order), pictures):
        one_time = order[start : start + pictures]
        assert len({index for _, index in one_time}) == len(one_time) and len({time for time, _ in one_time}) == 1
    assert len(set(order)) == len(order)  # another augmentation each time


def test_pictures_are_augmented_and_marked(configs, folder):
    cfg = load_experiment(configs["student"])
    labelled = cfg.task.train_set(cfg.data.train, 0)
    mixed = MixedDataset(labelled, Pictures(folder), cfg.data.train.transform, 0)
    batch = collate([mixed[0, 0], mixed[0, 1], mixed[0, len(labelled)], mixed[1, len(labelled)]])
    assert isinstance(batch, TextBatch) and batch.labelled == 2 and batch.names[2:] == ["c", "c"]
    assert not batch.text[2:].any() and not batch.instances[2:].any() and batch.text[:2].any()
    assert not torch.equal(batch.images[2], batch.images[3])
    assert torch.equal(torch.from_numpy(labelled[0, 1].image), batch.images[1])


@pytest.mark.parametrize("kind", ["soft maps", "mutual"])
def test_the_task_is_learnt_of_labelled_images_and_the_teacher_of_all(kind):
    torch.manual_seed(0)
    student, peer, teacher = (build_detector(small_model(adapter=False)) for _ in range(3))
    if kind == "mutual":
        learner = MutualDistiller(student, PANLoss(), [teacher], peer=peer).eval()
    else:
        learner = SoftMapDistiller(student, PANLoss(), [teacher]).eval()
    whole, first = random_batch(batch=3), random_batch(batch=3)
    whole.images[2] *= 5
    part = TextBatch(**{k: v[:2] if k != "labelled" else None for k, v in vars(first).items()})
    mixed, all_labelled, alone = learner(batch_of(whole, 2)).losses, learner(whole).losses, learner(part).losses
    for name, value in mixed.items():
        expected = all_labelled if "soft" in name else alone
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-4), name
        other = alone if "soft" in name else all_labelled
        assert value.item() != pytest.approx(other[name].item(), rel=1e-4), name


def batch_of(batch: TextBatch, labelled: int) -> TextBatch:
    return TextBatch(**{**vars(batch), "labelled": labelled}).to("cpu")


def test_a_run_takes_its_share_of_pictures_in_every_step(configs, folder, detected, tmp_path):
    draws: list[Draw] = []
    teacher, cfg = tmp_path / "teacher.pth.tar", load_experiment(configs["teacher"])
    save_checkpoint(teacher, new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    handle = note_draws(draws.append)
    output = run_script(
        "knowledge_distillation_train.py", configs["distill"], "--device", "cpu", "--work-dir", tmp_path / "run",
        "--checkpoint_t", teacher, "--cfg-options", "distiller.type=SoftMapDistiller", "train_cfg.val_interval=0",
        f"data.unlabelled={{'root': {str(folder)!r}, 'batch_size': 3, 'predictions': {str(detected)!r}}}",
        "data.num_workers=1",
    )  # fmt: skip
    handle.remove()
    assert "data.unlabelled: 4 pictures; regions of text found in them: 1" in output
    assert [len(names) for _, names in draws] == [5] * 6
    assert {name for _, names in draws for name in names[2:]} == {"b", "c", "e", "z"}
    assert not {name for _, names in draws for name in names[:2]} & {"b", "c", "e", "z"}


@pytest.mark.parametrize(
    "options, message",
    [
        (["data.unlabelled={'root': 'x', 'batch_size': 0}"], r"batch_size=0: expected a whole number, 1 or more"),
        (["data.unlabelled={'batch_size': 1}"], r"data\.unlabelled\.root=None: expected the path of a folder"),
        (["data.unlabelled={'root': 'x', 'batchsize': 1}"], r"unknown key 'data\.unlabelled\.batchsize'"),
        (["data.unlabelled={'root': 'x', 'batch_size': 1, 'predictions': 1}"], r"predictions=1: expected the path of"),
        (["data.unlabelled={'root': 'x', 'batch_size': 1}"], "KernelMaskDistiller learns nothing without labels"),
    ],
)
def test_what_cannot_be_is_refused(configs, options, message):
    with pytest.raises(InputError, match=message):
        load_experiment(configs["distill"], options)


def test_a_network_alone_learns_nothing_of_pictures(configs):
    with pytest.raises(InputError, match="a network alone learns nothing without labels"):
        load_experiment(configs["student"], ["data.unlabelled={'root': 'x', 'batch_size': 1}"])
