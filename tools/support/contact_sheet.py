"""Many pictures on one sheet, with a panel of histograms and the colours' meaning beside them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dataset.text.targets import Targets
from engine.visualise import GROUND_TRUTH, IGNORED, draw_targets, kernel_colours

TILE, CAPTION, GAP = 640, 24, 4  # pixels of the sheet
_PANEL = (720, 480)  # (width, height) of one histogram
_DOTS_PER_INCH = 100
_BINS = 40


def tile(image: np.ndarray, targets: Targets, caption: str) -> np.ndarray:
    """One picture of the sheet: the targets drawn into an RGB image (H, W, 3), its long side TILE, its name above."""
    longest = max(image.shape[:2])
    drawn = draw_targets(image, targets, thickness=max(1, round(longest / TILE)))
    h, w = (max(1, round(side * TILE / longest)) for side in image.shape[:2])
    method = cv2.INTER_AREA if longest > TILE else cv2.INTER_NEAREST
    canvas = np.full((CAPTION + h + GAP, TILE + GAP, 3), 255, np.uint8)
    canvas[CAPTION : CAPTION + h, :w] = cv2.resize(drawn, (w, h), interpolation=method)
    text = caption.encode("ascii", "replace").decode()  # OpenCV's font has no other characters
    cv2.putText(canvas, text, (4, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def sheet(tiles: Sequence[np.ndarray], panel: np.ndarray) -> np.ndarray:
    """Tiles of one width row by row, as many as columns, and the panel on their right: (H, W, 3) uint8."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = [_beside(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    width = max(row.shape[1] for row in rows)
    grid = np.vstack([_filled_up(row, len(row), width) for row in rows])
    return _beside([grid, panel])


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    height = max(map(len, pictures))
    return np.hstack([_filled_up(picture, height, picture.shape[1]) for picture in pictures])


def _filled_up(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """White below and on the right of a picture (h, w, 3)."""
    h, w = picture.shape[:2]
    return np.pad(picture, ((0, height - h), (0, width - w), (0, 0)), constant_values=255)


def panel(heights: np.ndarray, areas: np.ndarray, kernels: int) -> np.ndarray:
    """Legend of the colours and histograms, (H, W, 3) uint8.

    Args:
        heights: of the text, in pixels.
        areas: of the smallest kernels, in pixels; not shown where there are no kernels.
        kernels: number of kernel maps.
    """
    width, height = (side / _DOTS_PER_INCH for side in _PANEL)
    plots = 2 if kernels else 1
    figure = Figure(figsize=(width, height * plots), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(plots, squeeze=False)[:, 0]
    _histogram(axes[0], heights, _BINS)
    axes[0].set(xlabel="height of the text, pixels of the network input", ylabel="instances")
    if kernels:
        visible = areas[areas > 0]
        _histogram(axes[1], visible, np.geomspace(1, max(visible.max(initial=0), 10), _BINS))
        axes[1].set(xlabel="area of the smallest kernel, pixels of the network input", ylabel="instances", xscale="log")
    colours = [GROUND_TRUTH, *kernel_colours(kernels), IGNORED]
    numbers = [f" {i}" for i in range(1, kernels + 1)] if kernels > 1 else [""] * kernels
    names = ["text", *(f"kernel{number}" for number in numbers), "ignored"]
    handles = [Patch(color=np.array(colour) / 255, label=name) for colour, name in zip(colours, names)]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _histogram(ax, values: np.ndarray, bins) -> None:
    ax.hist(values, bins)
    ax.yaxis.get_major_locator().set_params(integer=True)
    if len(values):
        ax.axvline(np.median(values), color="black", linestyle="--", label=f"median {np.median(values):.0f}")
        ax.legend()
