"""Stage 2 of multi-neck distillation: centres of the classes, from what a teacher makes of their boxes.

python tools/fit_centers.py work_dirs/RUN/roi_features_teacher1.npz ... writes roi_features_teacher1_centers.npz beside
it, and so on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from distillation.multineck.centers import Centers, ClassSpread, class_spreads, fit_centers, load_centers, save_centers
from distillation.multineck.feature_files import read_features
from engine import cli
from engine.training.stages import centers_path
from errors import InputError, say
from files import check_output, write_aside

MAPS_IN_A_ROW = 10


def main(args: argparse.Namespace) -> None:
    if len(args.features) > 1 and args.out:
        raise InputError("--out names one file: give one file of features")
    if args.k < 1 or not 0 <= args.seed < 2**32:
        raise InputError(f"--k {args.k} --seed {args.seed}: expected at least 1 centre, and a seed from 0 to 2^32 - 1")
    if args.plot and Path(args.plot).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"{args.plot}: cannot be drawn as '{Path(args.plot).suffix}'; use .png or .pdf")
    for option in ("out", "plot"):
        if given := getattr(args, option):
            check_output(f"--{option}", given, args.features, folder=False)
    if args.out and Path(args.out).exists():
        load_centers(args.out)  # nothing else is replaced
    for path in args.features:
        features = read_features(path)
        centers = fit_centers(features, args.k, args.seed)
        spreads = class_spreads(features, centers)
        out = Path(args.out or centers_path(path))
        save_centers(out, centers)
        print(f"{path}: {len(features.labels)} boxes, teacher {features.provenance.teacher}")
        say(table(centers, spreads))
        print(f"{out}: {len(centers.labels)} centres of {len(spreads)} classes")
        if args.plot:
            picture = Path(args.plot)
            if len(args.features) > 1:
                picture = picture.with_stem(f"{picture.stem}_{path.stem}")
            plot(picture, centers, spreads)
            print(f"picture: {picture}")


def table(centers: Centers, spreads: Mapping[int, ClassSpread]) -> str:
    """A line for each class: its boxes, their mean distance to the centre, and the nearest centre of another class."""
    classes = centers.provenance.classes
    width = max(map(len, ("class", *classes)))
    lines = [f"  {'class':<{width}} {'boxes':>8} {'within':>8} {'between':>8}  nearest class"]
    for label, name in enumerate(classes, 1):
        if label not in spreads:
            lines.append(f"  {name:<{width}} {0:>8} {'-':>8} {'-':>8}")
            continue
        boxes, within, between, neighbour = spreads[label]
        nearest = classes[neighbour - 1] if neighbour else "-"
        lines.append(f"  {name:<{width}} {boxes:>8} {within:>8.4f} {between:>8.4f}  {nearest}")
    return "\n".join(lines)


def plot(path: Path, centers: Centers, spreads: Mapping[int, ClassSpread]) -> None:
    """Every centre as a map of 7x7, and below them the distances of the table."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    if not spreads:
        raise InputError(f"{path}: there is no box, and nothing to draw")
    rows = -(-len(centers.labels) // MAPS_IN_A_ROW)
    figure = Figure(figsize=(1.25 * MAPS_IN_A_ROW, 1.35 * rows + 4), layout="constrained")
    maps, distances = figure.subfigures(2, 1, height_ratios=[1.35 * rows, 4])
    _plot_maps(maps, centers, rows)
    _plot_distances(distances, [centers.provenance.classes[label - 1] for label in spreads], list(spreads.values()))
    with write_aside(path) as aside:
        figure.savefig(aside, format=path.suffix[1:], dpi=150)


def _plot_maps(figure, centers: Centers, rows: int) -> None:
    axes = figure.subplots(rows, MAPS_IN_A_ROW, squeeze=False).ravel()
    span = dict(vmin=centers.descriptors.min(), vmax=centers.descriptors.max())
    for axis in axes:
        axis.set_axis_off()
    for axis, label, centre in zip(axes, centers.labels, centers.descriptors):
        image = axis.imshow(centre.reshape(7, 7), **span)
        axis.set_title(centers.provenance.classes[label - 1], fontsize=9)
    figure.colorbar(image, ax=list(axes), label="activation", fraction=0.02, pad=0.01)


def _plot_distances(figure, names: list[str], spreads: list[ClassSpread]) -> None:
    axes = figure.subplots()
    place = np.arange(len(names))
    axes.bar(place - 0.2, [s.within for s in spreads], 0.4, label="of its boxes to their centre, mean")
    between = [s.between if s.neighbour else 0 for s in spreads]
    axes.bar(place + 0.2, between, 0.4, label="to the nearest centre of another class")
    axes.set_xticks(place, names, rotation=90, fontsize=9)
    axes.set_ylabel("distance")
    axes.set_xlim(-1, len(names))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", nargs="+", type=Path, metavar="FEATURES", help="files of collect_roi_features.py")
    parser.add_argument("--k", type=int, default=1, help="centres of each class, by k-means (default 1: the mean)")
    parser.add_argument("--seed", type=int, default=0, help="of k-means (default 0)")
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: beside FEATURES)")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw centres and distances (.png, .pdf), once for each FEATURES",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
