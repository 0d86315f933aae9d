"""The parts of the embedded data set: usable fonts, and baselines that the 14 points follow."""

import numpy as np
import pytest
from shapely.geometry import Polygon

from dataset.synthetic.scene import _line_below
from dataset.synthetic.text import ALPHABET, font_subset, latin_alphabet_ok, text_strip
from dataset.synthetic.text_set import find_fonts
from dataset.synthetic.warp import Warp, random_warp
from errors import InputError


@pytest.fixture(scope="module")
def fonts():
    return find_fonts()


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
