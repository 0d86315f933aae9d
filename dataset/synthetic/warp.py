"""From a straight strip of text to its place in the image: forwards for polygons, backwards for pixels.

Strip coordinates are (u, w): u along the text from -length/2 to length/2, w downwards from -height/2 to
height/2. A baseline bends them in the plane, then a homography turns and moves them. Both have a closed
inverse, so that polygon and pixels agree exactly. Pixel centres have integer coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Warp:
    """Placement of a strip in the image.

    Attributes:
        length, height: size of the strip before the homography, in pixels.
        kind: "straight", "arc" (one circle), "s" (two circles that touch) or "wave" (a sine, sheared).
        bend: curvature in 1/px for the circles, positive where the text arches upwards; amplitude in px for
            the wave.
        frequency, phase: parameters of the wave, in rad/px and rad.
        matrix: (3, 3) float64 homography to pixels of the image.
    """

    length: float
    height: float
    kind: str = "straight"
    bend: float = 0.0
    frequency: float = 0.0
    phase: float = 0.0
    matrix: np.ndarray = field(default_factory=lambda: np.eye(3))

    def forward(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) float64 strip coordinates u, w -> (n, 2) float64 pixel coordinates x, y."""
        u, w = points[:, 0], points[:, 1]
        if self.kind == "straight":
            x, y = u, w
        elif self.kind == "wave":
            x, y = u, w + self.bend * np.sin(self.frequency * u + self.phase)
        else:
            k = self.bend if self.kind == "arc" else self.bend * np.where(u < 0, -1.0, 1.0)
            x, y = (1 / k - w) * np.sin(k * u), 1 / k - (1 / k - w) * np.cos(k * u)
        m = self.matrix  # written out: a matrix product costs more than all of it for a dozen points
        out = np.empty((len(u), 2))
        scale = 1 / (m[2, 0] * x + m[2, 1] * y + m[2, 2])
        out[:, 0] = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) * scale
        out[:, 1] = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) * scale
        return out

    def inverse(self, x0: int, y0: int, x1: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
        """Strip coordinates of the pixels [x0, x1) x [y0, y1): (y1 - y0, x1 - x0) float32 each, u and w."""
        m = np.linalg.inv(_translation(-x0, -y0) @ self.matrix)
        m = (m / m[2, 2]).astype(np.float32)
        px = np.arange(x1 - x0, dtype=np.float32)[None, :]
        py = np.arange(y1 - y0, dtype=np.float32)[:, None]
        scale = 1 / (m[2, 0] * px + (m[2, 1] * py + 1))
        x = (m[0, 0] * px + (m[0, 1] * py + m[0, 2])) * scale
        y = (m[1, 0] * px + (m[1, 1] * py + m[1, 2])) * scale
        if self.kind == "straight":
            return x, y
        if self.kind == "wave":
            return x, y - np.float32(self.bend) * np.sin(np.float32(self.frequency) * x + np.float32(self.phase))
        k = np.float32(self.bend) if self.kind == "arc" else np.float32(self.bend) * np.where(x < 0, -1, 1).astype("f4")
        sign, dy = np.sign(k), 1 / k - y
        return np.arctan2(sign * x, sign * dy) / k, 1 / k - sign * np.sqrt(x * x + dy * dy)

    def outline(self, margin: float = 0.0, per_edge: int = 7) -> np.ndarray:
        """(2 * per_edge, 2) float64: the upper edge left to right, then the lower one right to left.

        `margin` is in pixels of the strip, outwards on all four sides.
        """
        edge = np.arange(per_edge) / (per_edge - 1) - 0.5
        points = np.empty((2 * per_edge, 2))
        points[:per_edge, 0] = edge * (self.length + 2 * margin)
        points[per_edge:, 0] = points[per_edge - 1 :: -1, 0]
        points[:per_edge, 1] = -self.height / 2 - margin
        points[per_edge:, 1] = self.height / 2 + margin
        return self.forward(points)

    def thickness(self) -> float:
        """The least distance across the text, between its two edges, px."""
        edges = self.outline()
        top, bottom = edges[:7], edges[:6:-1]
        along, across = np.diff(top, axis=0), bottom[:-1] - top[:-1]
        cross = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
        return float((np.abs(cross) / np.hypot(along[:, 0], along[:, 1])).min())

    def moved(self, dx: float, dy: float) -> Warp:
        """The same shape, shifted by (dx, dy) pixels."""
        return replace(self, matrix=_translation(dx, dy) @ self.matrix)

    def scaled(self, factor: float) -> Warp:
        """The same shape, larger by `factor` about the origin of the image."""
        return replace(self, matrix=np.diag([factor, factor, 1.0]) @ self.matrix)


def random_warp(
    rng: np.random.Generator,
    length: float,
    height: float,
    curved: float,
    bend: tuple[float, float],
    tilt: float,
) -> Warp:
    """A random shape around the origin of the image.

    Args:
        length, height: size of the strip, px.
        curved: probability of a curved baseline.
        bend: range of the angle that the tangent turns through along a curved baseline, radians.
        tilt: largest change of scale by perspective, a fraction.
    """
    warp = Warp(length, height)
    if rng.random() < curved and length > 2 * height:
        warp = _curved(rng, warp, rng.uniform(*bend))
    reach = np.abs(warp.outline()).max()  # of both axes: scaled by the height alone, end letters would lie flat
    share = rng.uniform(-1, 1) * tilt
    px, py = share / reach, rng.uniform(-1, 1) * (tilt - abs(share)) / reach
    shear = rng.normal(0, 0.12) if rng.random() < 0.5 else 0.0
    angle = np.deg2rad(_angle(rng))
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return replace(warp, matrix=turn @ np.array([[1, shear, 0], [0, 1, 0], [px, py, 1]]))


def _curved(rng: np.random.Generator, warp: Warp, turn: float) -> Warp:
    """Bends the baseline by `turn` radians in all, less where it would squeeze letters at the inner side."""
    kind = str(rng.choice(["arc", "s", "wave"], p=[0.64, 0.18, 0.18]))
    sign = 1 if rng.random() < 0.6 else -1
    # Six chords leave an arc by length * turn / 288 px: here at most by a twentieth of the height.
    turn = min(turn, 14 * warp.height / warp.length)
    if kind == "arc":
        return replace(warp, kind="arc", bend=sign * min(turn / warp.length, 1 / (1.4 * warp.height)))
    if kind == "s":  # seven points an edge leave three segments a circle: half the turn keeps chord and arc together
        return replace(warp, kind="s", bend=sign * min(0.8 * turn / warp.length, 1 / (1.6 * warp.height)))
    frequency = 2 * np.pi * rng.uniform(0.4, 0.75) / warp.length
    slope = min(turn / 3, 0.5)  # beyond it the vertical shear would look unlike type
    amplitude = min(slope / frequency, 0.6 * warp.height)
    return replace(warp, kind="wave", bend=amplitude, frequency=frequency, phase=rng.uniform(0, 2 * np.pi))


def _angle(rng: np.random.Generator) -> float:
    """Rotation in degrees: mostly near level, sometimes slanted, seldom a vertical sign."""
    kind = rng.random()
    if kind < 0.65:
        return rng.normal(0, 7)
    if kind < 0.94:
        return rng.uniform(-50, 50)
    return rng.choice([-90, 90]) + rng.normal(0, 5)


def _translation(dx: float, dy: float) -> np.ndarray:
    return np.array([[1.0, 0, dx], [0, 1, dy], [0, 0, 1]])
