"""The contact sheet: what it draws, what it measures, and that it shows what training is given."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from hypothesis import given
from hypothesis import strategies as st

from dataset import normalise, read_text_split
from dataset.text.targets import Targets, make_targets
from engine.experiment import load_experiment
from engine.training.data import DataModule
from engine.training.processes import Processes
from engine.visualise import (
    GROUND_TRUTH,
    IGNORED,
    LARGEST_KERNEL,
    SMALLEST_KERNEL,
    denormalise,
    draw_targets,
    kernel_colours,
)
from tools.browse_dataset import Sizes, first_samples, measure, report, view
from tools.support.contact_sheet import CAPTION, GAP, TILE, panel, sheet, tile

SCRIPT = "tools/browse_dataset.py"


def box(x: int, y: int, w: int, h: int) -> np.ndarray:
    """A rectangle that fills w x h pixels when drawn."""
    return np.array([(x, y), (x + w - 1, y), (x + w - 1, y + h - 1), (x, y + h - 1)], np.float32)


def targets_of(*polygons: np.ndarray, ignore=(), size=(64, 96), ratios=(0.5,)) -> Targets:
    flags = np.array([i in ignore for i in range(len(polygons))], bool)
    return make_targets(polygons, flags, size, ratios)


# --- drawing


def test_denormalise_undoes_normalise_for_every_level():
    image = np.stack([np.roll(np.arange(256, dtype=np.uint8), shift) for shift in (0, 85, 170)], -1).reshape(16, 16, 3)
    np.testing.assert_array_equal(denormalise(normalise(image)), image)


def test_kernel_colours_run_from_yellow_to_red():
    assert kernel_colours(0) == [] and kernel_colours(1) == [SMALLEST_KERNEL]
    six = kernel_colours(6)
    assert six[0] == LARGEST_KERNEL and six[-1] == SMALLEST_KERNEL
    assert len({*six, GROUND_TRUTH, IGNORED}) == 8
    green = [colour[1] for colour in six]
    assert green == sorted(green, reverse=True)


def test_targets_are_drawn_where_they_are():
    """Text of 40x21 at (10, 5) with its kernel, a neighbour that touches it, and an ignored box."""
    image = np.full((64, 96, 3), (10, 20, 30), np.uint8)
    targets = targets_of(box(10, 5, 40, 21), box(50, 5, 30, 21), box(70, 40, 20, 20), ignore=(2,))
    before = image.copy()
    picture = draw_targets(image, targets)
    np.testing.assert_array_equal(image, before)
    assert (picture[5, 10:80] == GROUND_TRUTH).all() and (picture[25, 10:80] == GROUND_TRUTH).all()
    assert (picture[6:25, 49:51] == GROUND_TRUTH).all()  # both outlines, not one around the two
    ys, xs = np.nonzero(targets.kernels[0][:, :50])
    kernel = picture[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    assert (kernel[0] == SMALLEST_KERNEL).all() and (kernel[:, -1] == SMALLEST_KERNEL).all()
    assert (kernel[1:-1, 1:-1] == (10, 20, 30)).all()
    half = (10 + 160) // 2, (20 + 160) // 2, (30 + 160) // 2
    assert (picture[41:59, 71:89] == half).all()  # no kernel either
    assert (picture[40:60, 70] == IGNORED).all() and (picture[40:60, 89] == IGNORED).all()
    assert (picture[61:] == (10, 20, 30)).all()


def test_every_kernel_is_drawn():
    targets = targets_of(box(5, 5, 80, 50), ratios=(0.9, 0.6, 0.3))
    picture = draw_targets(np.zeros((64, 96, 3), np.uint8), targets)
    for colour in (*kernel_colours(3), GROUND_TRUTH):
        assert (picture == colour).all(-1).any(), colour


@pytest.mark.parametrize(("h", "w"), [(64, 96), (96, 64), (960, 1280), (1, 700)])
def test_tiles_have_one_width_and_keep_the_aspect(h, w):
    red = np.full((h, w, 3), (200, 0, 0), np.uint8)
    drawn = tile(red, targets_of(size=(h, w)), "名前 of an image")
    height, width = (max(1, round(side * TILE / max(h, w))) for side in (h, w))
    assert drawn.shape == (CAPTION + height + GAP, TILE + GAP, 3)
    assert (drawn == (200, 0, 0)).all(-1).sum() == height * width
    assert (drawn[:CAPTION] < 128).any()  # the caption


def test_the_sheet_holds_all_tiles_and_the_panel():
    tiles = [np.full((10 + 4 * value, 20, 3), value, np.uint8) for value in range(1, 6)]
    beside = np.full((100, 7, 3), 77, np.uint8)
    whole = sheet(tiles, beside)
    assert whole.shape == (100, 3 * 20 + 7, 3) and (whole[:, 60:] == 77).all()
    assert [int(whole[y, x, 0]) for y in (0, 22) for x in (0, 20, 40)] == [1, 2, 3, 4, 5, 255]
    assert (whole[14:22, :20] == 255).all() and (whole[22:52, 20:40] == 5).all() and (whole[52:, :60] == 255).all()
    assert sheet(tiles[:1], beside[:5]).shape == (14, 27, 3)


@pytest.mark.parametrize("kernels", [0, 1, 6])
def test_the_panel_explains_every_colour_even_without_text(kernels):
    values = np.array([3.0, 9, 9, 14]), np.array([0, 12, 40, 900] if kernels else [], int)
    nothing = np.zeros(0), np.zeros(0, int)
    for heights, areas in (values, nothing):
        drawn = panel(heights, areas, kernels)
        assert drawn.shape[1] == 720 and drawn.shape[2] == 3
        for colour in (GROUND_TRUTH, IGNORED, *kernel_colours(kernels)):
            assert (drawn == colour).all(-1).sum() > 50, colour


# --- measuring


@given(st.integers(3, 30), st.integers(3, 40), st.integers(0, 20), st.integers(0, 20))
def test_height_of_a_box_is_its_short_side(h, w, x, y):
    sizes = measure(targets_of(box(x, y, w, h), ratios=()))
    short = min(h, w)
    assert sizes.heights == pytest.approx([short if short % 2 else short - 1])
    assert sizes.areas.size == 0


@pytest.mark.parametrize("angle", [0, 20, 45, 77])
def test_height_of_turned_and_of_curved_text_is_that_of_its_line(angle):
    turn = cv2.getRotationMatrix2D((100, 100), angle, 1)
    turned = cv2.transform(box(40, 90, 120, 21)[None], turn)[0]
    phi = np.radians(np.linspace(angle, angle + 150, 30))[:, None]
    circle = np.concatenate([np.cos(phi), np.sin(phi)], 1)
    curved = np.concatenate([100 + 80 * circle, 100 + 59 * circle[::-1]])  # a band 21 px wide
    for polygon in (turned, curved):
        assert measure(targets_of(polygon, size=(200, 200))).heights[0] == pytest.approx(21, abs=2)


def test_counts_of_what_can_go_wrong():
    maps = targets_of(
        box(2, 2, 30, 15),
        box(40, 2, 30, 15),  # covered by the next
        box(40, 2, 30, 15),
        box(2, 40, 3, 3),  # too small to shrink
        box(-36, 20, 40, 15),  # its kernel is beyond the border
        box(60, 30, 20, 20),  # ignored, as the next, which meets it, and the last, which does not
        box(70, 40, 20, 20),
        box(20, 45, 10, 10),
        ignore=(5, 6, 7),
    )
    sizes = measure(maps)
    assert len(sizes.heights) == 4 and sizes.heights[:2].tolist() == [15, 15]
    expected = [np.count_nonzero(maps.kernels[-1] & (maps.instances == i)) for i in (1, 3, 4, 5)]
    assert sizes.areas.tolist() == expected and expected[2:] == [9, 0]
    assert sizes.unshrunk == 1 and sizes.ignored == 2
    inside = measure(targets_of(box(-500, -500, 1200, 1200)))  # nothing but kernel: not for want of shrinking
    assert inside.areas.tolist() == [64 * 96] and inside.unshrunk == 0


def test_the_smallest_kernel_is_measured():
    maps = targets_of(box(5, 5, 80, 50), ratios=(0.9, 0.6, 0.3))
    assert measure(maps).areas.tolist() == [np.count_nonzero(maps.kernels[2])]


def test_report_counts():
    none = Sizes(np.zeros(0), np.zeros(0, int), 0, 0)
    some = Sizes(np.array([10.0, 20, 30]), np.array([0, 15, 16]), 1, 2)
    only_ignored = Sizes(np.zeros(0), np.zeros(0, int), 0, 1)
    first, heights, kernels = report([none, some, only_ignored])
    assert first == "3 images, 1 of them without text; 3 instances, 3 ignored regions"
    assert heights == "height of the text: median 20 px, 5% up to 11 px, 5% from 29 px"
    assert kernels.startswith("smallest kernels: 1 out of sight, 1 under 16 px, 1 as large as their text")
    assert report([none]) == ["1 images, 1 of them without text; 0 instances, 0 ignored regions"]


# --- samples


def test_samples_are_those_that_training_takes(configs):
    cfg = load_experiment(configs["student"])
    data = DataModule(cfg.task, cfg.data, seed=3, parts=1, processes=Processes(1, 1, torch.device("cpu")))
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    dataset = read_text_split(cfg.data.train, seed=3)
    samples = list(first_samples(dataset, 3, 2, 4))
    assert len(samples) == 4
    for batch, pair in zip(loader, (samples[:2], samples[2:])):
        assert batch.names == [sample.name for sample in pair]
        for i, sample in enumerate(pair):
            np.testing.assert_array_equal(batch.images[i].numpy(), sample.image)
            np.testing.assert_array_equal(batch.kernels[i].numpy(), sample.targets.kernels)


def test_polygons_of_test_images_lie_on_the_resized_image(configs):
    cfg = load_experiment(configs["student"], ["data.test.short_size=96"])
    dataset = read_text_split(cfg.data.test)
    sample = max(dataset, key=lambda sample: len(sample.record.polygons))
    image, targets = view(sample)
    h, w = image.shape[:2]
    h0, w0 = sample.original_size
    assert (h, w) == sample.image.shape[-2:] and targets.kernels.shape == (0, h, w)
    expected = np.zeros((h, w), np.uint8)
    for number, polygon in enumerate(sample.record.polygons, 1):
        points = (polygon + 0.5) * (w / w0, h / h0) - 0.5  # from pixel centre to pixel centre
        cv2.fillPoly(expected, [np.rint(points).astype(np.int32)], number)
    assert expected.any()
    np.testing.assert_array_equal(targets.instances, expected)


# --- the script


def read_rgb(path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def test_train_and_test_sheets(configs, tmp_path):
    output = run_script(SCRIPT, configs["student"], "--out", tmp_path / "a.png", "--images", 5)
    assert output.startswith("5 images, ") and "smallest kernels: " in output and "picture: " in output
    picture = read_rgb(tmp_path / "a.png")
    assert picture.shape == (2 * (CAPTION + TILE + GAP), 3 * (TILE + GAP) + 720, 3)  # square crops
    assert (picture[:, : 3 * (TILE + GAP)] == SMALLEST_KERNEL).all(-1).any()
    run_script(SCRIPT, configs["student"], "--out", tmp_path / "b.png", "--images", 5)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    for option in ("--epoch", "--seed"):
        run_script(SCRIPT, configs["student"], "--out", tmp_path / "c.png", "--images", 5, option, 7)
        assert (tmp_path / "c.png").read_bytes() != (tmp_path / "a.png").read_bytes()
    output = run_script(SCRIPT, configs["student"], "--split", "test", "--out", tmp_path / "t.jpg")
    assert output.startswith("3 images, ") and "kernel" not in output  # as many as there are
    assert read_rgb(tmp_path / "t.jpg").shape[0] == 2 * (CAPTION + TILE + GAP)


def test_kernels_of_psenet_and_the_usual_place(configs, tmp_path, monkeypatch):
    options = ["data.train.kernel_scale=None", "data.train.kernel_num=7", "data.train.min_scale=0.4"]
    monkeypatch.setattr("conftest.ROOT", tmp_path)  # the folder that scripts are run in
    output = run_script(ROOT / SCRIPT, configs["student"], "--images", 2, "--cfg-options", *options)
    [picture] = (tmp_path / "outputs" / "browse").iterdir()
    assert picture.name == "student_train.jpg" and f"outputs/browse/{picture.name}" in output


def test_colours_are_those_of_the_image(tmp_path, configs):
    """A red image must look red on the sheet, whatever order OpenCV keeps its channels in."""
    root = tmp_path / "data"
    for folder in ("text_image", "text_label_curve"):
        (root / "train" / folder).mkdir(parents=True)
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(root / "train" / "text_image" / "a.png"), red)
    (root / "train" / "text_label_curve" / "a.txt").touch()
    options = ["--out", tmp_path / "a.png", "--cfg-options", f"data.root={root}"]
    assert "1 images, 1 of them without text; 0 instances" in run_script(SCRIPT, configs["student"], *options)
    middle = read_rgb(tmp_path / "a.png")[CAPTION + TILE // 2, TILE // 2]
    assert middle[0] > 150 and middle[1:].max() < 110


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--images", 0], "--images 0: expected 1 to 100"),
        (["--images", 101], "--images 101: expected 1 to 100"),
        (["--epoch", -1], "--epoch -1: expected 0 or more"),
        (["--seed", -1], "--seed -1: expected 0 or more"),
        (["--cfg-options", "data.root=/nowhere"], "data root /nowhere"),
        (["--cfg-options", "data.train.short_sise=3"], "did you mean 'short_size'?"),
    ],
)
def test_mistakes_are_one_line(configs, tmp_path, options, said):
    output = run_script(SCRIPT, configs["student"], "--out", tmp_path / "a.png", *options, code=2)
    assert said in output and len(output.strip().splitlines()) == 1 and not (tmp_path / "a.png").exists()


def test_a_config_without_a_test_split():
    output = run_script(SCRIPT, "config/kkd/r18_synth.py", "--split", "test", code=2)
    assert "r18_synth.py: has no data.test; choose another --split" in output


def test_a_picture_format_that_is_none(configs, tmp_path):
    output = run_script(SCRIPT, configs["student"], "--out", tmp_path / "a.foo", "--images", 1, code=2)
    assert "a.foo: cannot encode a picture as '.foo'; use .jpg or .png" in output
