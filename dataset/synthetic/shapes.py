"""Scenes of coloured shapes: some belong to a class, some only look like it; each may cover others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from dataset.synthetic.background import LUMA, blotches, colour_field, photograph, random_colour, tiling

CLASSES = ("cross", "disc", "ring", "square", "star", "triangle")
MIN_SIDE = 64  # px of an image
MIN_VISIBLE = 0.2  # share of a shape's area; a shape with less visible, or less than MIN_AREA, is no object
MIN_AREA = 24  # px

_SUPERSAMPLING = 4
_LARGEST = 0.3  # radius, as a fraction of the shorter side of the image
_EMPTY = 0.04  # share of images without objects


@dataclass(frozen=True)
class Style:
    """Difficulty of the scenes.

    Attributes:
        objects, distractors: range of their number, both ends included.
        smallest: smallest radius, px.
        contrast: range of the difference between a shape and its background, grey levels.
        noise: largest deviation of the sensor noise, grey levels.
        tinted: each class has a hue of its own, so that colour identifies it as well as the outline.
    """

    objects: tuple[int, int] = (1, 8)
    distractors: tuple[int, int] = (0, 5)
    smallest: float = 8.0
    contrast: tuple[float, float] = (20.0, 120.0)
    noise: float = 10.0
    tinted: bool = False


STYLES = {
    "standard": Style(),
    "easy": Style(objects=(1, 4), distractors=(0, 0), smallest=14.0, noise=4.0, tinted=True),
}


@dataclass(frozen=True)
class SceneObject:
    """Visible part of one object.

    Attributes:
        name: its class.
        mask: (H, W) bool.
    """

    name: str
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the mask, px."""
        return tuple(cv2.boundingRect(self.mask.astype(np.uint8)))


def render_scene(
    rng: np.random.Generator, size: tuple[int, int], style: Style = STYLES["standard"]
) -> tuple[np.ndarray, list[SceneObject]]:
    """Renders one image.

    Args:
        rng: the only source of randomness.
        size: (W, H) in px, at least `MIN_SIDE` each.
        style: difficulty of the scene.

    Returns:
        (H, W, 3) uint8 **BGR** and its objects; their masks do not overlap.
    """
    image, fabric = _texture(rng, size), _texture(rng, size)
    objects = 0 if rng.random() < _EMPTY else int(rng.integers(style.objects[0], style.objects[1] + 1))
    distractors = int(rng.integers(style.distractors[0], style.distractors[1] + 1))
    names = [*rng.choice(CLASSES, objects), *rng.choice(list(_DISTRACTOR_OUTLINES), distractors)]
    rng.shuffle(names)
    owner = np.full((size[1], size[0]), -1, np.int16)  # which shape every pixel shows
    areas, radii = [], []
    for i, name in enumerate(names):
        radius = style.smallest * (_LARGEST * min(size) / style.smallest) ** rng.random()
        cover = _cover(rng, name, radius)
        left, top = _place(rng, size, cover.shape)
        shown = _cut(cover, left, top, size)
        window = np.s_[max(top, 0) : max(top, 0) + shown.shape[0], max(left, 0) : max(left, 0) + shown.shape[1]]
        hue = CLASSES.index(name) / len(CLASSES) if style.tinted and name in CLASSES else None
        _paint(rng, image[window], fabric[window], shown, style.contrast, hue)
        owner[window][shown >= 128] = i
        areas.append(np.count_nonzero(cover >= 128))
        radii.append(radius)
    found = []
    for i, name in enumerate(names):
        mask = owner == i
        if name in CLASSES and np.count_nonzero(mask) >= max(MIN_VISIBLE * areas[i], MIN_AREA):
            found.append(SceneObject(str(name), mask))
    return photograph(rng, image, 2 * min(radii, default=20.0), noise=style.noise), found


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 BGR: a colour field, often with a pattern of another. No single shapes: they have classes."""
    image = colour_field(rng, size)
    if rng.random() < 0.7:
        mask = blotches(rng, size) if rng.random() < 0.3 else tiling(rng, size)
        cv2.copyTo(colour_field(rng, size), mask, image)
    return image


def _cover(rng: np.random.Generator, name: str, radius: float) -> np.ndarray:
    """(k, k) uint8, 255 where a pixel is wholly inside a shape, turned and stretched at random."""
    rings = {**_OUTLINES, **_DISTRACTOR_OUTLINES}[name](rng)
    angle, stretch = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.14, 0.14))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = radius * turn @ np.diag([stretch, 1 / stretch])
    side = 2 * int(np.ceil(1.3 * radius)) + 3
    centre = side / 2 + rng.uniform(-0.5, 0.5, 2)
    large = np.zeros((side * _SUPERSAMPLING,) * 2, np.uint8)
    corners = [(ring @ matrix.T + centre) * _SUPERSAMPLING - 0.5 for ring in rings]
    cv2.fillPoly(large, [np.rint(ring).astype(np.int32) for ring in corners], 255)
    return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)


def _place(rng: np.random.Generator, size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Left and top of a shape whose centre is in the image."""
    centre = rng.integers(0, size)
    return int(centre[0]) - shape[1] // 2, int(centre[1]) - shape[0] // 2


def _cut(cover: np.ndarray, left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    """The part of a shape inside the image."""
    return cover[max(-top, 0) : size[1] - top, max(-left, 0) : size[0] - left]


def _paint(
    rng: np.random.Generator,
    ground: np.ndarray,
    fabric: np.ndarray,
    cover: np.ndarray,
    contrast: tuple[float, float],
    hue: float | None,
) -> None:
    """Paints `cover` on `ground`, in place: plain, shaded or of `fabric`, lighter or darker than what it is on.

    A hue, 0 to 1, stands instead of the contrast: a strong colour of about that hue.
    """
    lightness = float(np.mean(ground, axis=(0, 1)) @ LUMA)
    step = rng.uniform(*contrast) * (1 if rng.random() < (255 - lightness) / 255 else -1)
    colour = random_colour(rng, float(np.clip(lightness + step, 8, 247)))
    if hue is not None:
        hsv = np.array([180 * hue + rng.uniform(-6, 6), rng.uniform(190, 255), rng.uniform(140, 255)])
        colour = cv2.cvtColor(np.uint8([[hsv % (180, 256, 256)]]), cv2.COLOR_HSV2BGR)[0, 0]
    paint = np.empty_like(ground)
    paint[:] = colour
    kind = rng.random()
    if kind < 0.35:
        paint = cv2.addWeighted(paint, 0.65, fabric, 0.35, 0)
    elif kind < 0.6:
        shade = np.linspace(*rng.uniform(0.7, 1.3, 2), ground.shape[1])
        paint = np.clip(paint * shade[None, :, None], 0, 255).astype(np.uint8)
    alpha = cover[..., None] / np.float32(255)
    ground[:] = np.rint(ground + alpha * (paint.astype(np.float32) - ground)).astype(np.uint8)


def _regular(corners: int, radius: float = 1.0, start: float = 0.0) -> np.ndarray:
    """(corners, 2) on a circle."""
    angles = start + np.arange(corners) * 2 * np.pi / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _spiked(spikes: int, inner: float) -> np.ndarray:
    """A star: corners on the unit circle and, between them, on one of radius `inner`."""
    outline = _regular(2 * spikes)
    outline[1::2] *= inner
    return outline


def _arc(hole: float, opening: float) -> np.ndarray:
    """A ring with a gap of `opening` radians."""
    angles = np.linspace(opening / 2, 2 * np.pi - opening / 2, 40)
    outer = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([outer, hole * outer[::-1]])


def _plus(arm: float) -> np.ndarray:
    """A cross of two bars, each 2·arm wide."""
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
    turn = np.array([[0, -1], [1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k).T for k in range(4)])


def _tee(arm: float) -> np.ndarray:
    """A cross that lacks one arm."""
    return np.delete(_plus(arm), [6, 7], axis=0)


def _bar(ratio: float) -> np.ndarray:
    """A rectangle, `ratio` times as long as wide."""
    return np.array([[1, 1 / ratio], [-1, 1 / ratio], [-1, -1 / ratio], [1, -1 / ratio]])


Outline = Callable[[np.random.Generator], list[np.ndarray]]
"""Rings in a circle of radius 1; a second one is a hole."""

_OUTLINES: dict[str, Outline] = {
    "cross": lambda rng: [_plus(rng.uniform(0.2, 0.36))],
    "disc": lambda rng: [_regular(48)],
    "ring": lambda rng: [_regular(48), _regular(48, rng.uniform(0.45, 0.7))],
    "square": lambda rng: [_regular(4)],
    "star": lambda rng: [_spiked(5, rng.uniform(0.36, 0.52))],
    "triangle": lambda rng: [_regular(3)],
}
_DISTRACTOR_OUTLINES: dict[str, Outline] = {
    "tee": lambda rng: [_tee(rng.uniform(0.2, 0.36))],
    "half disc": lambda rng: [_regular(48)[:25]],
    "broken ring": lambda rng: [_arc(rng.uniform(0.45, 0.7), rng.uniform(0.7, 2.0))],
    "bar": lambda rng: [_bar(rng.uniform(1.9, 3.5))],
    "four-pointed star": lambda rng: [_spiked(4, rng.uniform(0.36, 0.5))],
    "pentagon": lambda rng: [_regular(5)],
}
