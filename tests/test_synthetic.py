"""The embedded data set: same bytes for the same seed, legal labels, polygons that hold the ink, tightly."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import LineString, MultiPoint, Polygon

from dataset.parsers.ctw1500 import CTW1500
from dataset.synthetic import HARD, STANDARD, find_fonts, label_line, render_image, write_dataset
from dataset.synthetic_scene import MIN_HEIGHT, _line_below
from dataset.synthetic_text import ALPHABET, font_subset, latin_alphabet_ok, text_strip
from dataset.synthetic_warp import Warp, random_warp
from errors import InputError
from tools import make_synthetic

ROOT = Path(__file__).resolve().parents[1]
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


def test_fonts_hold_the_alphabet(fonts, tmp_path):
    names = {f.stem for f in fonts}
    assert len(fonts) > 10 and {"DejaVuSans", "STIXGeneral", "cmr10"} <= names
    # Symbols in the place of letters, one box for every letter, Greek for punctuation, no letters at all.
    assert not names & {
        "cmsy10",
        "cmex10",
        "LastResortHE-Regular",
        "cmmi10",
        "STIXNonUni",
        "DejaVuSansDisplay",
    }
    rng = np.random.default_rng(0)
    for font in fonts:
        assert latin_alphabet_ok(font)
        strips = {c: text_strip(rng, c, font, 16).fill for c in ALPHABET}
        assert all(s.max() > 100 for s in strips.values())
        assert strips["W"].shape[1] > strips["i"].shape[1]


def test_folder_without_usable_font(tmp_path, fonts):
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    symbols = fonts[0].with_name("cmsy10.ttf")
    (tmp_path / "symbols.ttf").write_bytes(symbols.read_bytes())
    with pytest.raises(InputError, match=r"none of its 2 font files .* give a folder") as caught:
        find_fonts(tmp_path)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "good.ttf").write_bytes(fonts[0].read_bytes())
    assert [p.name for p in find_fonts(tmp_path)] == ["good.ttf"]


def test_held_out_fonts_are_disjoint(fonts):
    rest, held_out = font_subset(fonts, ["STIX*", "cm*"])
    assert {f.stem[:2] for f in held_out} == {"ST", "cm"}
    assert {f.stem[:2] for f in rest} == {"De"}
    assert len(rest) + len(held_out) == len(fonts)


# ---- geometry


@pytest.mark.parametrize("seed", range(12))
def test_forward_and_inverse_agree(seed):
    rng = np.random.default_rng(seed)
    warp = random_warp(rng, 200, 30, curved=0.9, bend=(0.5, 2.8), tilt=0.3).moved(300, 300)
    x0, y0, x1, y1 = 100, 120, 500, 480
    u, w = warp.inverse(x0, y0, x1, y1)
    inside = (np.abs(u) < 100) & (np.abs(w) < 15)
    assert inside.sum() > 1500
    back = warp.forward(np.stack([u[inside], w[inside]], 1).astype(float))
    ys, xs = np.nonzero(inside)
    assert np.abs(back - np.stack([xs + x0, ys + y0], 1)).max() < 0.02


def test_outline_of_a_straight_strip():
    outline = Warp(60, 10).moved(100, 50).outline()
    assert outline.shape == (14, 2)
    assert np.allclose(outline[:7], [[x, 45] for x in (70, 80, 90, 100, 110, 120, 130)])
    assert np.allclose(outline[7:], [[x, 55] for x in (130, 120, 110, 100, 90, 80, 70)])


def test_outline_of_an_arc_lies_on_two_circles():
    warp = Warp(150, 20, "arc", bend=1 / 100)  # centre (0, 100): the text arches over it
    radii = np.hypot(*(warp.outline() - (0, 100)).T)
    assert np.allclose(radii[:7], 110) and np.allclose(radii[7:], 90)


@pytest.mark.parametrize("seed", range(12))
def test_seven_points_an_edge_follow_the_curve(seed):
    warp = random_warp(np.random.default_rng(seed), 600, 24, curved=1.0, bend=(2.5, 2.8), tilt=0.2)
    assert warp.kind != "straight"
    few, many = Polygon(warp.outline()), Polygon(warp.outline(per_edge=101))
    assert few.intersection(many).area > 0.91 * few.union(many).area


def test_a_longer_line_below_stays_before_the_horizon():
    rng, taken = np.random.default_rng(0), np.zeros((400, 400), np.uint8)
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0.004, 0, 1]])  # the horizon lies at u = -250
    tilted = Warp(100, 20, matrix=matrix).moved(200, 100)
    assert _line_below(rng, tilted, 100, 12.0, taken) is not None
    taken[:] = 0
    for length in (160, 499, 700):  # ends ever closer to the horizon, at it, beyond it
        assert _line_below(rng, tilted, length, 12.0, taken) is None
    assert not taken.any()


# ---- images


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
