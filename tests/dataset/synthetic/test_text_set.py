"""The embedded data set: same bytes for the same seed, legal labels, polygons that hold the ink, tightly."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from shapely.geometry import LineString, MultiPoint, Polygon

from dataset.synthetic.scene import MIN_HEIGHT
from dataset.synthetic.text_set import HARD, STANDARD, find_fonts, label_line, render_image, write_dataset
from dataset.text.parsers.ctw1500 import CTW1500
from errors import InputError
from tools import make_synthetic

SIZE = (384, 320)


@pytest.fixture(scope="module")
def fonts():
    return find_fonts()


@pytest.fixture(scope="module")
def scenes(fonts):
    """24 renderings: (image, polygons, ink)."""
    found = []
    for i in range(24):
        ink = np.zeros(SIZE[::-1], np.uint8)
        style = HARD if i % 4 == 3 else STANDARD
        found.append((*render_image(np.random.default_rng([5, i]), SIZE, fonts, style, ink), ink))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "set"
    assert write_dataset(out, 6, 3, SIZE, seed=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def points_of(line: str) -> tuple[np.ndarray, np.ndarray]:
    """A label line -> box (4,), absolute points (14, 2)."""
    numbers = np.array([int(v) for v in line.split(",")])
    assert len(numbers) == 32
    relative = numbers[4:].reshape(14, 2)
    assert relative.min(axis=0).tolist() == [0, 0]
    assert relative.max(axis=0).tolist() == (numbers[2:4] - numbers[:2]).tolist()
    return numbers[:4], relative + numbers[:2]


# ---- the set on disk


def test_bytes_depend_on_the_seed_alone(written, tmp_path):
    assert write_dataset(tmp_path / "again", 6, 3, SIZE, seed=1)
    assert contents(tmp_path / "again") == contents(written)
    assert write_dataset(tmp_path / "other", 6, 3, SIZE, seed=2)
    other, one = contents(tmp_path / "other"), contents(written)
    assert all(other[name] != one[name] for name in one if name.endswith(".jpg"))


def test_images_do_not_depend_on_their_number(written, tmp_path):
    assert write_dataset(tmp_path / "fewer", 2, 1, SIZE, seed=1)
    fewer, more = contents(tmp_path / "fewer"), contents(written)
    assert fewer["train/text_image/0002.jpg"] == more["train/text_image/0002.jpg"]
    assert fewer["test/text_image/0003.jpg"] == more["test/text_image/0007.jpg"]  # the first of the test set


def test_the_parser_reads_it(written):
    records = CTW1500(written, "train")
    assert len(records) == 6
    for record in (records[i] for i in range(6)):
        label = written / "train" / "text_label_curve" / f"{record.name}.txt"
        expected = [points_of(line)[1] for line in label.read_text().splitlines()]
        assert all(np.array_equal(a, b) for a, b in zip(record.polygons, expected, strict=True))
        assert not record.ignore.any()


def test_layout(written):
    for split, names in (("train", range(1, 7)), ("test", range(7, 10))):
        images = sorted((written / split / "text_image").iterdir())
        assert [p.name for p in images] == [f"{n:04d}.jpg" for n in names]
        labels = sorted((written / split / "text_label_curve").iterdir())
        assert [p.name for p in labels] == [f"{n:04d}.txt" for n in names]
        assert all(cv2.imread(str(p)).shape == (SIZE[1], SIZE[0], 3) for p in images)
    assert not [p for p in written.parent.iterdir() if p.name.startswith(".")]


def test_labels_are_legal(written):
    lines = [line for p in written.rglob("*.txt") for line in p.read_text().splitlines()]
    assert len(lines) > 9
    for line in lines:
        box, points = points_of(line)
        assert (points >= 0).all() and (points < SIZE).all()
        assert (box[:2] < box[2:]).all()
        assert Polygon(points).is_valid and Polygon(points).area > 60


def test_second_run_does_nothing(written):
    stamps = {p: p.stat().st_mtime_ns for p in written.rglob("*")}
    assert write_dataset(written, 6, 3, SIZE, seed=1) is False
    assert stamps == {p: p.stat().st_mtime_ns for p in written.rglob("*")}


def test_other_arguments_need_overwrite(tmp_path):
    write_dataset(tmp_path / "set", 1, 1, SIZE, seed=1)
    with pytest.raises(InputError, match=r"another train, style; give --overwrite"):
        write_dataset(tmp_path / "set", 2, 1, SIZE, seed=1, style=HARD)
    assert write_dataset(tmp_path / "set", 2, 1, SIZE, seed=1, overwrite=True)
    assert len(list(tmp_path.rglob("*.jpg"))) == 3
    assert json.loads((tmp_path / "set" / "synthetic.json").read_text())["train"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_synthetic_is_never_replaced(tmp_path, overwrite):
    precious = tmp_path / "ctw1500" / "train" / "text_image" / "0001.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"hours of labelling")
    with pytest.raises(InputError, match="is not a synthetic data set"):
        write_dataset(tmp_path / "ctw1500", 1, 1, SIZE, overwrite=overwrite)
    assert precious.read_bytes() == b"hours of labelling"


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", 3, 0, SIZE, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": -1}, "train=-1"),
        ({"train": 0, "test": 0}, "not both 0"),
        ({"size": (64, 640)}, "size 64x640"),
        ({"seed": -1}, "seed -1"),
        ({"workers": 0}, "workers 0"),
        ({"fonts": "/no/such/folder"}, "no such folder of fonts"),
        ({"style": replace(STANDARD, test_fonts=("Nothing*",))}, "match 0 of"),
        ({"style": replace(STANDARD, test_fonts=("*",))}, "match some and not all"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        write_dataset(tmp_path / "set", **{"train": 1, "test": 1, "size": SIZE} | change)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# ---- fonts


def test_polygons_hold_the_ink(scenes):
    for _, polygons, ink in scenes:
        mask = np.zeros_like(ink)
        for polygon in polygons:  # as the label file rounds it
            cv2.fillPoly(mask, [points_of(label_line(polygon))[1].astype(np.int32)], 1)
        mask = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        total = ink.sum(dtype=float)
        assert ink[mask > 0].sum(dtype=float) >= 0.99 * total, "ink outside the polygons"


def test_polygons_are_tight(scenes):
    checked = 0
    for _, polygons, ink in scenes:
        for polygon in polygons:
            mask = np.zeros_like(ink)
            cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
            ys, xs = np.nonzero((mask > 0) & (ink > 48))
            marks = MultiPoint(np.stack([xs, ys], 1))
            for side in (polygon[:7], polygon[6:8], polygon[7:], polygon[[13, 0]]):
                assert marks.distance(LineString(side)) < 3
                checked += 1
    assert checked > 200


def test_instances_do_not_overlap(scenes):
    for _, polygons, _ in scenes:
        shapes = [Polygon(points_of(label_line(p))[1]) for p in polygons]
        assert all(s.is_valid for s in shapes)
        assert all(not a.intersects(b) for i, a in enumerate(shapes) for b in shapes[:i])


def test_text_is_neither_too_small_nor_too_large(scenes):
    polygons = [p for _, found, _ in scenes for p in found]
    heights = [2 * Polygon(p).area / (LineString(p[:7]).length + LineString(p[7:]).length) for p in polygons]
    assert min(heights) > 0.8 * MIN_HEIGHT
    assert max(heights) < 0.3 * min(SIZE)
    assert np.percentile(heights, 90) > 2 * np.percentile(heights, 10)


def test_text_differs_from_its_ground(scenes):
    differences = []
    for image, polygons, ink in scenes:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
        for polygon in polygons:
            mask = np.zeros_like(ink)
            cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
            text, ground = grey[(mask > 0) & (ink > 180)], grey[(mask > 0) & (ink < 20)]
            differences.append(np.abs(text - ground.mean()).mean())  # of fill and contour alike
    assert min(differences) > 10
    assert np.percentile(differences, 75) > 1.5 * np.percentile(differences, 25)


def test_curved_and_straight_text_are_both_there(scenes):
    sagitta = []
    for _, polygons, _ in scenes:
        for p in polygons:
            chord = p[6] - p[0]
            normal = np.array([-chord[1], chord[0]]) / np.hypot(*chord)
            sagitta.append(np.abs((p[:7] - p[0]) @ normal).max() / np.hypot(*chord))
    sagitta = np.array(sagitta)
    assert 0.2 < (sagitta > 0.04).mean() < 0.9
    assert (sagitta < 1e-6).mean() > 0.1


def test_image_without_text(fonts):
    ink = np.zeros(SIZE[::-1], np.uint8)
    style = replace(STANDARD, empty=1.0)
    image, polygons = render_image(np.random.default_rng(0), SIZE, fonts, style, ink)
    assert polygons == [] and not ink.any()
    assert image.shape == (SIZE[1], SIZE[0], 3) and image.dtype == np.uint8


def test_ink_does_not_change_the_image(fonts):
    plain, _ = render_image(np.random.default_rng(3), SIZE, fonts)
    traced, _ = render_image(np.random.default_rng(3), SIZE, fonts, ink=np.zeros(SIZE[::-1], np.uint8))
    assert np.array_equal(plain, traced)


@pytest.mark.parametrize("size", [(96, 96), (97, 300), (513, 128)])
def test_any_size(fonts, size):
    for seed in range(4):
        image, polygons = render_image(np.random.default_rng(seed), size, fonts)
        assert image.shape == (size[1], size[0], 3)
        assert all((p >= 0).all() and (p <= np.array(size) - 1).all() for p in polygons)


# ---- the tool


def tool(*args) -> subprocess.CompletedProcess:
    command = [sys.executable, "tools/make_synthetic.py", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_tool_writes_the_same_set_with_two_workers(written, tmp_path, capsys):
    args = [tmp_path / "set", "--train", 6, "--test", 3, "--size", f"{SIZE[0]}x{SIZE[1]}", "--seed", 1]
    command = [sys.executable, "tools/make_synthetic.py", *map(str, args), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "set") == contents(written)
    assert make_synthetic.main([str(a) for a in args]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_tool_reports_mistakes_in_one_line(tmp_path, capsys):
    args = [str(tmp_path / "set"), "--train", "1", "--fonts", str(tmp_path)]
    assert make_synthetic.main(args) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {tmp_path}: none of its 0 font files")
    assert message.count("\n") == 1
    with pytest.raises(InputError):
        make_synthetic.main([*args, "--debug"])


@pytest.mark.parametrize("size", ["640", "640x", "axb", "640x-1"])
def test_tool_refuses_a_size_it_cannot_read(size, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_synthetic.main(["set", "--size", size])
    assert stopped.value.code == 2
    assert "such as 640x640" in capsys.readouterr().err
