"""Backgrounds of the embedded data set: textures, shapes, marks that are not text, camera effects."""

from __future__ import annotations

import cv2
import numpy as np

from dataset.synthetic.text import Strip, cut_to_ink

LUMA = np.array([0.114, 0.587, 0.299])  # weight of B, G, R in the lightness of a colour


def random_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 BGR: a colour field, up to three layers of pattern, some shapes; `size` is (W, H)."""
    image = colour_field(rng, size)
    for _ in range(rng.choice(4, p=[0.2, 0.4, 0.3, 0.1])):
        mask = blotches(rng, size) if rng.random() < 0.3 else tiling(rng, size)
        if rng.random() < 0.5:  # close in colour: a relief rather than a print
            other = cv2.convertScaleAbs(image, alpha=rng.uniform(0.6, 1.3), beta=float(rng.uniform(-25, 25)))
        else:
            other = colour_field(rng, size)
        cv2.copyTo(other, mask, image)
    _shapes(rng, image)
    return cv2.GaussianBlur(image, (3, 3), 0)  # masks have hard steps, a lens has none


def random_colour(rng: np.random.Generator, lightness: float) -> np.ndarray:
    """(3,) float64 BGR of the given lightness, 0 to 255: grey, muted or vivid."""
    saturation = 0.0 if rng.random() < 0.3 else rng.uniform(0.15, 1.0)
    colour = saturation * rng.uniform(0, 255, 3) + (1 - saturation) * lightness
    own = colour @ LUMA
    if own > lightness:
        return colour * lightness / own
    return 255 - (255 - colour) * (255 - lightness) / (255 - own)


def colour_field(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: value noise of four octaves around a colour, from a plain wall to a busy hedge."""
    width, height = size
    colour = random_colour(rng, rng.uniform(15, 235))
    grey = rng.random() < 0.6  # the grain of most surfaces changes lightness, not hue
    decay, swing = (
        rng.uniform(0.35, 0.95),
        rng.choice([6, 20, 55], p=[0.3, 0.45, 0.25]) * rng.uniform(0.6, 1.4),
    )
    field = None
    for octave, parts in enumerate((2, 8, 32, 128)):
        cells = (max(2, width * parts // 512), max(2, height * parts // 512))
        noise = rng.uniform(-1, 1, (cells[1], cells[0], 1 if grey and octave else 3)).astype(np.float32)
        noise *= np.float32(swing * decay**octave * (0.6 if noise.shape[2] == 3 else 1.0))
        field = noise + colour.astype(np.float32) if field is None else cv2.resize(field, cells) + noise
    return cv2.resize(np.clip(field, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def blotches(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 mask of soft-edged patches: foliage, stains, clouds."""
    cells = int(rng.integers(4, 28))
    noise = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
    field = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return cv2.compare(field, float(rng.uniform(110, 190)), cv2.CMP_GT)


def tiling(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 mask of a repeated motif, stripes, bricks or the like, under a random homography."""
    unit = int(rng.integers(10, 72))
    tile = _motif(rng, unit)
    reach = int(1.5 * max(size))
    sheet = np.tile(tile, (reach // tile.shape[0] + 1, reach // tile.shape[1] + 1))
    angle = rng.normal(0, 0.12) if rng.random() < 0.6 else rng.uniform(-0.8, 0.8)
    c, s = np.cos(angle), np.sin(angle)
    centre = np.array(size) / 2
    tilt = rng.uniform(-0.35, 0.35, 2) / max(size)
    to_centre = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
    turn = np.array([[c, -s, reach / 2], [s, c, reach / 2], [0, 0, 1]])
    matrix = turn @ np.array([[1, 0, 0], [0, 1, 0], [*tilt, 1]]) @ to_centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(sheet, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)


def _motif(rng: np.random.Generator, unit: int) -> np.ndarray:
    """One period, uint8 0 or 255, of a pattern with features of about `unit` px."""
    line = max(1, int(unit * rng.uniform(0.06, 0.3)))
    kind = rng.integers(7)
    if kind == 0:  # stripes
        tile = np.zeros((4, unit), np.uint8)
        tile[:, : int(unit * rng.uniform(0.15, 0.8))] = 255
        return tile.T.copy() if rng.random() < 0.4 else tile
    if kind == 1:  # bricks: a second course shifted by half a brick
        tile = np.full((unit, 2 * unit), 255, np.uint8)
        tile[:line] = tile[unit // 2 : unit // 2 + line] = 0
        tile[: unit // 2, :line] = tile[unit // 2 :, unit : unit + line] = 0
        return tile
    if kind == 2:  # grid of tiles or of wire
        tile = np.zeros((unit, int(unit * rng.uniform(0.6, 1.6)) + 2), np.uint8)
        tile[:line], tile[:, :line] = 255, 255
        return tile
    if kind == 3:  # windows with a cross bar
        tile = np.zeros((2 * unit, int(1.5 * unit)), np.uint8)
        tile[unit // 2 : -unit // 3, unit // 3 : -unit // 3] = 255
        tile[unit : unit + max(1, line // 2)] = 0
        return tile
    if kind == 4:  # a fence: pales and two rails
        tile = np.zeros((4 * unit, unit), np.uint8)
        tile[:, : max(2, unit // 3)] = 255
        tile[unit : unit + line] = tile[3 * unit : 3 * unit + line] = 255
        return tile
    if kind == 5:  # dots
        tile = np.zeros((unit, unit), np.uint8)
        cv2.circle(tile, (unit // 2, unit // 2), max(2, int(unit * rng.uniform(0.15, 0.4))), 255, -1)
        return tile
    tile = np.zeros((unit, unit), np.uint8)  # chequers
    tile[: unit // 2, : unit // 2] = tile[unit // 2 :, unit // 2 :] = 255
    return tile


def _shapes(rng: np.random.Generator, image: np.ndarray) -> None:
    """Draws polygons, ellipses and lines of any size on `image`, in place."""
    height, width = image.shape[:2]
    for _ in range(rng.integers(0, 22)):
        colour = random_colour(rng, rng.uniform(10, 245)).tolist()
        centre = rng.uniform(0, 1, 2) * (width, height)
        radius = np.exp(rng.uniform(np.log(4), np.log(0.3 * min(width, height))))
        thickness = -1 if rng.random() < 0.6 else int(rng.integers(1, 5))
        kind = rng.integers(3)
        if kind == 0:
            axes = (radius * rng.uniform(0.3, 1, 2)).astype(int) + 1
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(
                image,
                centre.astype(int).tolist(),
                axes.tolist(),
                angle,
                0,
                360,
                colour,
                thickness,
                cv2.LINE_AA,
            )
        elif kind == 1:
            spread = rng.uniform(-1, 1, 2) * 3 * radius
            ends = np.stack([centre - spread, centre + spread]).astype(int)
            cv2.line(image, ends[0].tolist(), ends[1].tolist(), colour, int(rng.integers(1, 7)), cv2.LINE_AA)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            corners = (centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.int32)
            if thickness < 0:
                cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)
            else:
                cv2.polylines(image, [corners], True, colour, thickness, cv2.LINE_AA)


def clutter_strip(rng: np.random.Generator, height: float) -> Strip:
    """Draws a row of illegible marks with the size and spacing of text; warped like text."""
    h = max(12, round(1.3 * height))
    count, pitch = int(rng.integers(3, 13)), h * rng.uniform(0.45, 1.0)
    mask = np.zeros((h, int(pitch * count) + h), np.uint8)
    pen = max(1, round(h * rng.uniform(0.06, 0.2)))
    kind = rng.integers(6)
    for i in range(count):
        x, w = pitch * i, pitch * rng.uniform(0.55, 0.85)
        if kind == 0:  # bars of a bar code or a railing
            for _ in range(2):
                left = round(x + rng.uniform(0, w))
                top = 0 if rng.random() < 0.7 else int(rng.integers(h // 3))
                cv2.rectangle(mask, (left, top), (left + int(rng.integers(1, pen + 2)), h - 1), 255, -1)
        elif kind == 1:  # filled shapes: beads, diamonds, wedges
            sides, turn = int(rng.integers(3, 9)), rng.uniform(0, 2 * np.pi)
            angles = turn + np.arange(sides) * 2 * np.pi / sides
            corners = np.stack([x + w / 2 + 0.5 * w * np.cos(angles), h / 2 + 0.45 * h * np.sin(angles)], 1)
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255, cv2.LINE_AA)
        elif kind == 2:  # dashes at one or two levels
            y = h // 2 if rng.random() < 0.6 else int(rng.integers(pen, h - pen))
            cv2.rectangle(mask, (round(x), y - pen), (round(x + w), y + pen), 255, -1)
        elif kind == 3:  # hatching
            cv2.line(mask, (round(x), h - 1), (round(x + 0.6 * h), 0), 255, pen, cv2.LINE_AA)
        else:  # scribbles: a few strokes between random points of a cell
            points = rng.uniform(0, 1, (int(rng.integers(4, 7)), 2)) * (w, h - 1) + (x, 0)
            if kind == 4:
                points = points.reshape(-1, 1, 2) if len(points) % 2 else points.reshape(-1, 2, 2)
            else:
                points = points[None]
            cv2.polylines(mask, list(points.astype(np.int32)), False, 255, pen, cv2.LINE_AA)
    mask[0, 0] = mask[-1, -1] = max(1, mask[0, 0])  # never empty
    return Strip(cut_to_ink(mask))


def photograph(rng: np.random.Generator, image: np.ndarray, detail: float, noise: float) -> np.ndarray:
    """Uneven light, blur and sensor noise over a finished scene.

    Args:
        image: (H, W, 3) uint8.
        detail: height of the smallest text in px; bounds the blur, so that a person can still read it.
        noise: upper bound of the deviation of the noise, in grey levels.
    """
    height, width = image.shape[:2]
    light = rng.uniform(0.7, 1.12, (3, 3, 1)) + rng.normal(0, 0.03, (1, 1, 3))
    light = cv2.resize((128 * light).clip(60, 200).astype(np.uint8), (width, height))
    image = cv2.multiply(image, light, scale=1 / 128)
    kind = rng.random()
    if kind < 0.4:
        sigma = rng.uniform(0.4, np.clip(0.07 * detail, 0.6, 2.0))
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    elif kind < 0.55:
        image = cv2.filter2D(image, -1, _streak(rng, int(np.clip(0.25 * detail, 3, 9))))
    strength = rng.uniform(0, noise)
    if strength > 1:
        # The difference of two uniform bytes deviates by 104 grey levels; far cheaper than a normal draw.
        first, second = np.frombuffer(rng.bytes(2 * height * width), np.uint8).reshape(2, height, width, 1)
        grain = cv2.addWeighted(first, strength / 104, second, -strength / 104, 128)
        grain = cv2.cvtColor(grain, cv2.COLOR_GRAY2BGR)
        image = cv2.addWeighted(image, 1, grain, 1, -128)
    return image


def _streak(rng: np.random.Generator, length: int) -> np.ndarray:
    """A motion blur kernel: (k, k) float32, sums to one."""
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    reach = (size // 2) * np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)])
    centre = size // 2
    cv2.line(
        kernel,
        np.rint(centre - reach).astype(int).tolist(),
        np.rint(centre + reach).astype(int).tolist(),
        1.0,
    )
    return kernel / kernel.sum()
