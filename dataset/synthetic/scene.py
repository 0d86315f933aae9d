"""Rendering of one image of the embedded data set: placement and colours of text, and exact polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from dataset.synthetic.background import LUMA, clutter_strip, photograph, random_background, random_colour
from dataset.synthetic.text import Strip, random_text, text_strip
from dataset.synthetic.warp import Warp, random_warp

MIN_HEIGHT = 12.0  # px: below it letters cannot be told apart after blur and compression
MIN_SIDE = 96  # px: the smallest image with room for a word
_MARGIN = 0.75  # px around the ink, as a careful annotator leaves
_GAP = 3  # px between two instances, so that neither rounding nor a shadow makes them touch


@dataclass(frozen=True)
class Style:
    """Difficulty of the images. Ranges are (low, high).

    Attributes:
        contrast: difference in lightness between text and its surroundings, grey levels.
        height: height of text as a fraction of the shorter side of the image, never below `MIN_HEIGHT` px.
        instances: requested number of texts per image; fewer if space runs out.
        curved: share of texts on a curved baseline.
        bend: angle that a curved baseline turns through, radians.
        clutter: number of rows of bars and strokes that resemble text.
        noise: largest deviation of the sensor noise, grey levels.
        empty: share of images without any text.
        test_fonts: patterns of the font file names reserved for the test set.
    """

    contrast: tuple[float, float] = (45.0, 190.0)
    height: tuple[float, float] = (0.022, 0.2)
    instances: tuple[int, int] = (1, 10)
    curved: float = 0.6
    bend: tuple[float, float] = (0.4, 2.6)
    clutter: tuple[int, int] = (0, 6)
    noise: float = 11.25
    empty: float = 0.015
    test_fonts: tuple[str, ...] = ()


STANDARD = Style()
EASY = Style(contrast=(90.0, 200.0), height=(0.1, 0.22), instances=(1, 5), bend=(0.4, 1.6), clutter=(0, 1), noise=5.0)
HARD = Style(contrast=(32.0, 75.0), height=(0.018, 0.08), instances=(6, 16), curved=0.85, bend=(0.9, 2.8), noise=8.0)
STYLES = {"easy": EASY, "standard": STANDARD, "hard": HARD}


@dataclass(frozen=True)
class _Placed:
    """A placed strip, with the properties that a line below it repeats."""

    strip: Strip
    warp: Warp
    font: Path | None


def render_image(
    rng: np.random.Generator,
    size: tuple[int, int],
    fonts: Sequence[Path],
    style: Style = STANDARD,
    ink: np.ndarray | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Renders one image with text.

    Args:
        rng: the only source of randomness.
        size: (W, H) in px, at least `MIN_SIDE` each.
        fonts: font files with the Latin alphabet, see `find_fonts`.
        style: difficulty of the image.
        ink: optional (H, W) uint8 array of zeros that receives the coverage of the glyphs, 255 full.

    Returns:
        (H, W, 3) uint8 **BGR** and a list of (14, 2) float64 polygons, x then y in px (pixel centres are
        integers): 7 points along the upper edge of the text from left to right, 7 along the lower edge back.
        No two overlap.
    """
    side = min(size)
    low = max(MIN_HEIGHT, style.height[0] * side)
    heights = (low, max(low, style.height[1] * side))
    image = random_background(rng, size)
    taken = np.zeros((size[1], size[0]), np.uint8)
    texts: list[_Placed] = []
    if rng.random() >= style.empty:
        wanted = int(rng.integers(style.instances[0], style.instances[1] + 1))
        texts = _lay_out(rng, partial(_text, rng, fonts), wanted, heights, taken, style)
    rows = _lay_out(
        rng, partial(_clutter, rng), int(rng.integers(style.clutter[0], style.clutter[1] + 1)), heights, taken, style
    )
    for row in rows:
        _draw(rng, image, row, style)
    for text in texts:
        _draw(rng, image, text, style, ink)
    polygons = [t.warp.outline(_MARGIN) for t in texts]
    detail = min((t.warp.thickness() for t in texts), default=20.0)
    return photograph(rng, image, detail, noise=style.noise), polygons


def _text(rng: np.random.Generator, fonts: Sequence[Path], height: float, like: _Placed | None) -> _Placed:
    font = like.font if like else fonts[rng.integers(len(fonts))]
    strip = text_strip(rng, random_text(rng, small=height < 30), font, height)
    return _Placed(strip, None, font)


def _clutter(rng: np.random.Generator, height: float, like: _Placed | None) -> _Placed:
    return _Placed(clutter_strip(rng, height), None, None)


def _lay_out(rng, make, wanted: int, heights: tuple[float, float], taken: np.ndarray, style: Style) -> list[_Placed]:
    """Places up to `wanted` strips that `make(height, like)` draws; marks their ground in `taken` (H, W)."""
    placed: list[_Placed] = []
    for _ in range(2 * wanted):
        if len(placed) == wanted:
            break
        like = placed[-1] if placed and rng.random() < 0.35 else None
        # An exponent above one: street scenes hold more small text than large.
        height = heights[0] * (heights[1] / heights[0]) ** (rng.random() ** 1.25)
        if like:
            height = like.warp.height
        item = make(height, like)
        length = height * item.strip.aspect * rng.uniform(0.85, 1.2)
        if like:
            warp = _line_below(rng, like.warp, length, heights[0], taken)
        else:
            tilt = 0.2 if height > 1.3 * heights[0] else 0.0  # the far end must stay legible
            warp = random_warp(rng, length, height, style.curved, style.bend, tilt)
            warp = _free_place(rng, warp, heights[0], taken)
        if warp is not None:
            placed.append(replace(item, warp=warp))
    return placed


def _free_place(rng: np.random.Generator, warp: Warp, low: float, taken: np.ndarray) -> Warp | None:
    """Moves `warp` to free ground, shrunk to fit the image; None if thinner than about `low` px."""
    smallest = low / warp.height
    room = np.array(taken.shape[::-1]) - 2 * _GAP - 2
    box = np.ptp(_ground(warp), axis=0)
    factor = float((room / box).min())
    if factor < 1:
        if factor < smallest:
            return None
        warp = warp.scaled(factor * rng.uniform(max(0.7, smallest / factor), 1.0))
    if warp.thickness() < 0.85 * low:  # squeezed by tilt, slant or the bend
        return None
    origin, mask = _footprint(warp)
    for _ in range(10):
        corner = rng.integers(1, np.maximum(2, np.array(taken.shape) - mask.shape))[::-1]
        if _claim(taken, corner, mask):
            return warp.moved(*(corner - origin))
    return None


def _line_below(rng: np.random.Generator, warp: Warp, length: float, low: float, taken: np.ndarray) -> Warp | None:
    """The place of the next line of the same sign: the same shape, below, with its own length."""
    if warp.kind != "straight":  # another length would change how far it turns
        if not 0.6 < length / warp.length < 1.6:
            return None
        length = warp.length
    elif abs(warp.matrix[2, 0]) * length + abs(warp.matrix[2, 1]) * warp.height > 0.6:  # twice the share of the tilt
        return None  # a longer line under the same perspective would near the horizon
    step = warp.height * rng.uniform(1.12, 1.6) + 2 * _GAP
    new = replace(warp, length=length)
    shift = warp.forward(np.array([[0.0, step]]))[0] - warp.forward(np.zeros((1, 2)))[0]
    new = new.moved(*shift)
    ground = _ground(new)
    if ground.min() < 1 or (ground.max(axis=0) > np.array(taken.shape[::-1]) - 2).any() or new.thickness() < 0.85 * low:
        return None
    return new if _claim(taken, *_footprint(new)) else None


def _ground(warp: Warp) -> np.ndarray:
    """(26, 2) the polygon that no other strip may enter."""
    return warp.outline(_GAP, per_edge=13)


def _footprint(warp: Warp) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the ground of `warp`: corner (2,) int x, y, and (h, w) uint8 mask."""
    ground = _ground(warp)
    corner = np.floor(ground.min(axis=0)).astype(int)
    width, height = np.ceil(ground.max(axis=0)).astype(int) - corner + 1
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(ground - corner).astype(np.int32)], 1)
    return corner, mask


def _claim(taken: np.ndarray, corner: np.ndarray, mask: np.ndarray) -> bool:
    """Marks `mask` at `corner` in `taken` (H, W) if it lies inside and on free ground."""
    x0, y0, x1, y1 = *corner, corner[0] + mask.shape[1], corner[1] + mask.shape[0]
    if x0 < 1 or y0 < 1 or x1 > taken.shape[1] - 1 or y1 > taken.shape[0] - 1:
        return False
    view = taken[y0:y1, x0:x1]
    if cv2.countNonZero(cv2.bitwise_and(mask, view)):
        return False
    np.bitwise_or(view, mask, out=view)
    return True


def _draw(
    rng: np.random.Generator, image: np.ndarray, item: _Placed, style: Style, ink: np.ndarray | None = None
) -> None:
    """Paints a strip on `image`, in place, in colours that stand out from what is there."""
    strip, warp = item.strip, item.warp
    wanted = rng.uniform(*style.contrast)
    ground = _lightness_histogram(image, warp)
    lightness, lost = _readable(rng, ground, wanted, style.contrast[1])
    if lost > 0.05 or rng.random() < 0.2:  # a plate, always where the ground is too busy to read on
        ground = _plate(rng, image, warp)
        lightness, _ = _readable(rng, ground, wanted, style.contrast[1])
    colour = random_colour(rng, lightness)
    x0, y0, x1, y1 = _box(warp.outline(_MARGIN + 1, 13), image)
    u, w = warp.inverse(x0, y0, x1, y1)
    h, width = strip.fill.shape
    maps = (u / warp.length + 0.5) * width - 0.5, (w / warp.height + 0.5) * h - 0.5
    sample = partial(cv2.remap, map1=maps[0], map2=maps[1], interpolation=cv2.INTER_LINEAR)
    alpha = sample(strip.fill)
    view = image[y0:y1, x0:x1]
    if strip.outline is not None:
        contour = sample(strip.outline)
        _blend(view, contour, random_colour(rng, lightness + 70 if lightness < 127 else lightness - 70))
    elif rng.random() < 0.15 and warp.height > 16:
        dx, dy = rng.integers(1, 2 + int(0.04 * warp.height), 2)
        shadow = np.zeros_like(alpha)
        shadow[dy:, dx:] = alpha[:-dy, :-dx]
        _blend(view, shadow, np.full(3, 20.0 if colour @ LUMA > 90 else 235.0), 0.5)
    _blend(view, alpha, colour, rng.uniform(0.85, 1.0))
    if rng.random() < 0.15:  # a second colour towards the lower edge, no nearer to the ground's lightness
        ramp = np.linspace(0, 1, h)[:, None] * strip.fill
        second = random_colour(rng, colour @ LUMA)
        _blend(view, sample(ramp.astype(np.uint8)), second)
    if ink is not None:
        np.maximum(ink[y0:y1, x0:x1], alpha if strip.outline is None else contour, out=ink[y0:y1, x0:x1])


def _lightness_histogram(image: np.ndarray, warp: Warp) -> np.ndarray:
    """(256,) float64, sums to one: how light `image` is where the strip will lie."""
    polygon = warp.outline(_MARGIN)
    x0, y0, x1, y1 = _box(polygon, image)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon - (x0, y0)).astype(np.int32)], 255)
    grey = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY)
    counts = np.bincount(grey[mask > 0], minlength=256).astype(float)
    return counts / max(1.0, counts.sum())


def _readable(rng: np.random.Generator, ground: np.ndarray, wanted: float, most: float) -> tuple[float, float]:
    """A lightness for text on a ground of lightness histogram `ground` (256,).

    Tried in turn: `wanted` grey levels from the mean on either side, then `most`, for the first that leaves
    next to nothing of the text on ground of its own lightness.

    Returns:
        The lightness, and the share of the ground that text of this lightness would be lost on.
    """
    mean = float(ground @ np.arange(256))
    sign = 1 if rng.random() < 0.5 else -1
    options = []
    for offset in (sign * wanted, -sign * wanted, sign * most, -sign * most):
        value = float(np.clip(mean + offset, 5, 250))
        reach = min(0.6 * wanted, 30)
        lost = ground[max(0, int(value - reach)) : int(value + reach) + 1].sum()
        if lost < 0.02:
            return value, lost
        options.append((lost, value))
    lost, value = min(options)
    return value, lost


def _plate(rng: np.random.Generator, image: np.ndarray, warp: Warp) -> np.ndarray:
    """Paints a board behind the strip, within the ground it claimed; returns its lightness histogram."""
    colour = random_colour(rng, rng.uniform(15, 240))
    ground = np.rint(warp.outline(_GAP - 0.5, per_edge=13) * 16).astype(np.int32)
    cv2.fillPoly(image, [ground], colour.tolist(), cv2.LINE_AA, shift=4)
    if rng.random() < 0.3:
        cv2.polylines(image, [ground], True, random_colour(rng, rng.uniform(15, 240)).tolist(), 1, cv2.LINE_AA, shift=4)
    return (np.arange(256) == round(float(colour @ LUMA))).astype(float)


def _blend(view: np.ndarray, alpha: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
    """Mixes `colour` (3,) into `view` (h, w, 3) by `alpha` (h, w) uint8, in place."""
    weight = np.multiply(alpha, np.float32(strength / 255))
    paint = np.empty_like(view)
    paint[...] = np.rint(colour)
    view[...] = cv2.blendLinear(paint, np.ascontiguousarray(view), weight, 1 - weight)


def _box(polygon: np.ndarray, image: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels around `polygon`, the ends exclusive, clipped to `image`."""
    low = np.maximum(np.floor(polygon.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(polygon.max(axis=0)).astype(int) + 1, image.shape[1::-1])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
