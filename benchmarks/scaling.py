"""Time of the post-processing by instances, pixels and images: table, JSON and plot.

With instances and pixels together, as in the second sweep, a cost of instances x pixels would grow with an exponent
of 2. The exponent is the slope of a line through the medians, both axes logarithmic.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import machine

from command_line import Parser

import numpy as np  # isort: skip
from maps import cells, embeddings, logits_of, text_maps

from post_processing import decode_pan, labels_to_polygons, pa, pse

RESULTS = Path(__file__).resolve().parent / "results"
INSTANCES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
SIDES = (64, 128, 256, 512, 1024)
IMAGES = (1, 2, 4, 8, 16, 32)
DENSITY = 0.8  # of the cells that hold an instance, where the size varies
STRIDE = 4
ROUNDS = 15
LEAST = 0.004  # seconds of a measurement


@dataclass(frozen=True)
class Curve:
    """Growth of the time of one function with one quantity.

    Attributes:
        sizes: values of the quantity.
        milliseconds: medians over the rounds.
        exponent: b of a x size^b, fitted to them.
    """

    function: str
    quantity: str
    sizes: Sequence[int]
    milliseconds: Sequence[float]
    exponent: float


@dataclass(frozen=True)
class Input:
    """Arguments of the three functions, for one image."""

    kernels: np.ndarray  # (7, h, w): text, then kernels from large to small
    outer: np.ndarray  # (2, h, w): the first and the last of these
    embedding: np.ndarray  # (4, h, w)
    labels: np.ndarray  # (h, w)
    score: np.ndarray  # (h, w)

    def polygons(self) -> None:
        size = tuple(STRIDE * side for side in self.labels.shape)
        labels_to_polygons(self.labels, self.score, size, size)


FUNCTIONS: dict[str, Callable[[Input], object]] = {
    "pa": lambda given: pa(given.outer, given.embedding),
    "pse": lambda given: pse(given.kernels),
    "labels_to_polygons": Input.polygons,
}


def random_input(seed: int, size: tuple[int, int], instances: int) -> Input:
    rng = np.random.default_rng(seed)
    kernels, embedding = text_maps(rng, size, instances, kernels=6), embeddings(rng, size)
    outer = kernels[[0, -1]]
    labels, score = decode_pan(np.concatenate([logits_of(rng, outer), embedding]))
    assert labels.max() == instances
    return Input(kernels, outer, embedding, labels, score)


def sweeps() -> dict[str, dict[int, list[Input]]]:
    """By quantity that varies and its value: the images to go through."""
    page = (160, 256)
    images = [random_input(seed, page, round(DENSITY * cells(page))) for seed in range(max(IMAGES))]
    squares = [(side, side) for side in SIDES]
    return {
        "instances in 512x512": {count: [random_input(0, (512, 512), count)] for count in INSTANCES},
        "pixels": {h * w: [random_input(0, (h, w), round(DENSITY * cells((h, w))))] for h, w in squares},
        "images of 160x256": {count: images[:count] for count in IMAGES},
    }


def milliseconds(function: Callable[[Input], object], images: list[Input]) -> float:
    """Mean time to go through the images, one after the other."""
    runs, start = 0, time.perf_counter()
    while time.perf_counter() - start < LEAST:
        for image in images:
            function(image)
        runs += 1
    return 1000 * (time.perf_counter() - start) / runs


def curve(function: str, quantity: str, inputs: dict[int, list[Input]]) -> Curve:
    """Goes through all sizes in turn, so that a busy moment of the machine meets each of them alike."""
    rounds = [[milliseconds(FUNCTIONS[function], images) for images in inputs.values()] for _ in range(ROUNDS)]
    medians = [statistics.median(times) for times in zip(*rounds)]
    exponent, _ = np.polyfit(np.log(list(inputs)), np.log(medians), 1)
    return Curve(function, quantity, list(inputs), medians, float(exponent))


def table(curves: Sequence[Curve]) -> str:
    """The medians as Markdown, one table for each quantity."""
    lines = []
    for quantity in dict.fromkeys(curve.quantity for curve in curves):
        rows = [curve for curve in curves if curve.quantity == quantity]
        lines += [f"| {quantity} | " + " | ".join(map(str, rows[0].sizes)) + " | exponent |"]
        lines += ["| --- " * (len(rows[0].sizes) + 2) + "|"]
        for row in rows:
            times = " | ".join(f"{value:.3g} ms" for value in row.milliseconds)
            lines += [f"| {row.function} | {times} | {row.exponent:.2f} |"]
        lines += [""]
    return "\n".join(lines)


def plot(curves: Sequence[Curve], path: Path) -> None:
    """One panel for each quantity; a dotted line grows like the quantity itself."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    quantities = list(dict.fromkeys(curve.quantity for curve in curves))
    figure = Figure(figsize=(4 * len(quantities), 4), layout="constrained")
    for number, quantity in enumerate(quantities, 1):
        axes = figure.add_subplot(1, len(quantities), number, xlabel=quantity, xscale="log", yscale="log")
        for row in curves:
            if row.quantity != quantity:
                continue
            (line,) = axes.plot(row.sizes, row.milliseconds, marker="o", label=f"{row.function}: {row.exponent:.2f}")
            linear = row.milliseconds[-1] * np.array(row.sizes) / row.sizes[-1]
            axes.plot(row.sizes, linear, ":", color=line.get_color(), linewidth=1)
        axes.set_ylabel("ms")
        axes.legend(title="exponent")
        axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS / "scaling.json", metavar="FILE")
    parser.add_argument("--plot", type=Path, default=RESULTS / "scaling.png", metavar="FILE")
    args = parser.parse_args()
    curves = [curve(function, quantity, inputs) for quantity, inputs in sweeps().items() for function in FUNCTIONS]
    print(table(curves))
    for path in (args.json, args.plot):
        path.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "curves": [asdict(row) for row in curves]}
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    plot(curves, args.plot)
    print(f"{args.json}   {args.plot}")


if __name__ == "__main__":
    main()
