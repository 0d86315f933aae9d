"""The embedded detection data: same bytes for the same seed, boxes and masks of what can be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from annotations.coco_masks import rasterise
from dataset.objects.dataset import build_object_dataset
from dataset.synthetic import shapes as synthetic_shapes
from dataset.synthetic.shape_set import CATEGORY_IDS, write_coco
from dataset.synthetic.shapes import CLASSES, MIN_AREA, STYLES, Style, render_scene
from errors import InputError
from tools import make_synthetic_coco

SIZE = (160, 128)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    assert write_coco(out, 30, 8, SIZE, seed=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def tables(folder: Path, split: str = "train") -> dict:
    return json.loads((folder / "annotations" / f"instances_{split}2017.json").read_text())


# --- the set on disk


def test_bytes_depend_on_the_seed_alone(written, tmp_path):
    assert write_coco(tmp_path / "again", 30, 8, SIZE, seed=1, workers=2)
    assert contents(tmp_path / "again") == contents(written)
    assert write_coco(tmp_path / "other", 30, 8, SIZE, seed=2)
    other, one = contents(tmp_path / "other"), contents(written)
    assert other.keys() == one.keys() and all(other[name] != one[name] for name in one)


def test_images_do_not_depend_on_their_number(written, tmp_path):
    assert write_coco(tmp_path / "fewer", 3, 2, SIZE, seed=1)
    fewer, more = contents(tmp_path / "fewer"), contents(written)
    assert fewer["train2017/000000000003.jpg"] == more["train2017/000000000003.jpg"]
    assert fewer["val2017/000000000004.jpg"] == more["val2017/000000000031.jpg"]  # the first of its split
    assert (
        tables(tmp_path / "fewer")["annotations"]
        == tables(written)["annotations"][: len(tables(tmp_path / "fewer")["annotations"])]
    )


def test_layout(written):
    ids = []
    for split, numbers in (("train", range(1, 31)), ("val", range(31, 39))):
        content = tables(written, split)
        names = [f"{n:012d}.jpg" for n in numbers]
        assert [entry["file_name"] for entry in content["images"]] == names
        assert sorted(p.name for p in (written / f"{split}2017").iterdir()) == names
        assert {(entry["width"], entry["height"]) for entry in content["images"]} == {SIZE}
        assert [(c["id"], c["name"]) for c in content["categories"]] == list(zip(CATEGORY_IDS, CLASSES))
        assert [a["id"] for a in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
        ids += [entry["id"] for entry in content["images"]]
    assert len(set(ids)) == 38
    assert not [p for p in written.parent.iterdir() if p.name.startswith(".")]


def test_boxes_and_areas_are_those_of_the_masks(written):
    content = tables(written)
    assert {a["category_id"] for a in content["annotations"]} == set(CATEGORY_IDS)
    for entry in content["images"]:
        covered = np.zeros(SIZE[::-1], int)
        for found in (a for a in content["annotations"] if a["image_id"] == entry["id"]):
            mask = rasterise(found["segmentation"], SIZE[::-1], "here")
            rows, columns = np.nonzero(mask)
            x, y = columns.min(), rows.min()
            assert found["bbox"] == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
            assert found["area"] == mask.sum() >= MIN_AREA and found["iscrowd"] == 0
            covered += mask
        assert covered.max() <= 1  # what one object shows, another does not


def test_the_dataset_reads_it(written):
    options = {"type": "COCO", "annotations": "annotations/instances_train2017.json", "images": "train2017"}
    training = build_object_dataset({**options, "short_sides": [128], "with_masks": True}, written, training=True)
    assert training.classes == CLASSES and training.category_ids == CATEGORY_IDS
    testing = build_object_dataset({**options, "short_side": 128}, written, training=False)
    assert len(testing) == 30 and len(training) == len({a["image_id"] for a in tables(written)["annotations"]})
    sample = testing[0]
    assert sample.image.shape == (3, 128, 160)
    assert sum(len(testing.boxes_of(i)[0]) for i in range(30)) == len(tables(written)["annotations"])


def test_second_run_does_nothing(written, tmp_path):
    stamps = {p: p.stat().st_mtime_ns for p in written.rglob("*")}
    assert write_coco(written, 30, 8, SIZE, seed=1) is False
    assert stamps == {p: p.stat().st_mtime_ns for p in written.rglob("*")}
    write_coco(tmp_path / "set", 1, 1, SIZE, seed=1)
    with pytest.raises(InputError, match="made with another train, seed; give --overwrite"):
        write_coco(tmp_path / "set", 2, 1, SIZE, seed=2)
    assert write_coco(tmp_path / "set", 2, 1, SIZE, seed=2, overwrite=True)
    assert len(list(tmp_path.rglob("*.jpg"))) == 3


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not a synthetic data set"):
            write_coco(tmp_path / "mine", 1, 1, SIZE, overwrite=overwrite)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write there"):
        write_coco(tmp_path / "file" / "set", 1, 1, SIZE)


def test_a_stop_half_way_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(tmp_path / "set", 4, 1, SIZE, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "give counts of at least 0 that are not both 0"),
        ((-1, 5), "give counts"),
        ((1, 1, (63, 200)), "size 63x200: give a width and a height from 64"),
        ((1, 1, (64, 64), -1), "seed -1"),
        ((1, 1, (64, 64), 0, 0), "workers 0"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        write_coco(tmp_path / "set", *arguments)
    assert not list(tmp_path.iterdir())


def test_tool(tmp_path, capsys):
    out = str(tmp_path / "set")
    options = [out, "--train", "2", "--val", "1", "--size", "64x72", "--seed", "3"]
    assert make_synthetic_coco.main(options) == 0
    assert capsys.readouterr().out == f"{out}: 2 training and 1 validation images\n"
    assert make_synthetic_coco.main(options) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert make_synthetic_coco.main([out, "--train", "3"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {out}: holds a synthetic data set")
    script = [sys.executable, str(ROOT / "tools" / "make_synthetic_coco.py"), "--help"]
    assert "COCO" in subprocess.run(script, capture_output=True, text=True, check=True, cwd=tmp_path).stdout


# --- one scene


def test_scenes_vary():
    scenes = [render_scene(np.random.default_rng([7, i]), SIZE)[1] for i in range(150)]
    counts = [len(objects) for objects in scenes]
    assert 0 < counts.count(0) < 30 and max(counts) >= 7
    found = [o for objects in scenes for o in objects]
    for name in CLASSES:
        assert sum(o.name == name for o in found) > 30
    sides = np.array([max(o.box[2:]) for o in found])
    assert sides.min() < 15 and sides.max() > 70
    assert any(o.box[0] == 0 for o in found) and any(o.box[1] + o.box[3] == SIZE[1] for o in found)  # cut by the edge


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("disc", np.pi, np.pi),
        ("square", 2.0, 2.0),
        ("triangle", 3 * 3**0.5 / 4, 3 * 3**0.5 / 4),
        ("ring", np.pi * (1 - 0.7**2), np.pi * (1 - 0.45**2)),
        ("star", 10 * 0.5 * 0.36 * np.sin(np.pi / 5), 10 * 0.5 * 0.52 * np.sin(np.pi / 5)),
        ("cross", 8 * 0.2 - 4 * 0.2**2, 8 * 0.36 - 4 * 0.36**2),
    ],
)
def test_areas_of_shapes(name, low, high):
    """Against the formulas; stretching keeps the area."""
    for seed in range(20):
        cover = synthetic_shapes._cover(np.random.default_rng(seed), name, 30.0)
        area = np.count_nonzero(cover >= 128) / 30**2
        assert 0.97 * low < area < 1.03 * high
        assert not cover[[0, -1]].any() and not cover[:, [0, -1]].any()  # nothing cut off


def test_what_is_hidden_is_no_object(monkeypatch):
    """All shapes on one spot, against a literal reference: what is drawn last hides the rest, nothing hides that."""
    monkeypatch.setattr(synthetic_shapes, "_place", lambda rng, size, shape: (64 - shape[1] // 2, 64 - shape[0] // 2))
    monkeypatch.setattr(synthetic_shapes, "_EMPTY", 0)
    covers = []
    monkeypatch.setattr(synthetic_shapes, "_paint", lambda rng, ground, fabric, cover, *_: covers.append(cover >= 128))
    hidden = 0
    for seed in range(60):
        covers.clear()
        objects = render_scene(np.random.default_rng(seed), (128, 128), Style(distractors=(0, 0)))[1]
        owner = np.full((128, 128), -1)
        for i, cover in enumerate(covers):
            start = 64 - len(cover) // 2
            owner[start : start + len(cover), start : start + len(cover)][cover] = i
        seen = [(np.count_nonzero(owner == i), np.count_nonzero(cover)) for i, cover in enumerate(covers)]
        expected = [part for part, whole in seen if part >= MIN_AREA and part >= 0.2 * whole]
        assert [np.count_nonzero(o.mask) for o in objects] == expected
        hidden += len(covers) - len(objects)
    assert hidden > 100


def test_masks_follow_the_picture(monkeypatch):
    """With plain paint on a plain ground and no camera, the picture itself says where the shapes are."""
    monkeypatch.setattr(synthetic_shapes, "_texture", lambda rng, size: np.full((size[1], size[0], 3), 100, np.uint8))
    monkeypatch.setattr(synthetic_shapes, "photograph", lambda rng, image, detail, noise: image)

    def paint(rng, ground, fabric, cover, *_):
        ground[:] = 100 + cover[..., None] // 2

    monkeypatch.setattr(synthetic_shapes, "_paint", paint)
    for seed in range(20):
        image, objects = render_scene(np.random.default_rng(seed), SIZE, Style(objects=(1, 1), distractors=(0, 0)))
        if objects:
            assert np.array_equal(objects[0].mask, image[..., 0] >= 164)
            assert objects[0].box == cv2.boundingRect((image[..., 0] >= 164).astype(np.uint8))


def test_easy_scenes_have_few_large_shapes_in_the_hue_of_their_class():
    hues = {name: [] for name in CLASSES}
    for seed in range(40):
        image, objects = render_scene(np.random.default_rng(seed), (128, 128), STYLES["easy"])
        assert len(objects) <= 4
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        for found in objects:
            hues[found.name].append(float(np.median(hsv[..., 0][cv2.erode(found.mask.astype(np.uint8), None) > 0])))
    for number, name in enumerate(CLASSES):
        turns = np.abs((np.array(hues[name]) - 180 * number / len(CLASSES) + 90) % 180 - 90)
        assert len(turns) > 5 and np.mean(turns < 15) > 0.8, name
