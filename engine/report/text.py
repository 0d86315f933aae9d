"""The page on a tested text detector: `test.py --report`, `batch_eval.py --report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dataset import TextDataset, read_image
from engine.inference.evaluator import Evaluator
from engine.inference.flow import Track, silent
from engine.inference.pipeline import start
from engine.report.analysis import Analysis, Group
from engine.report.page import Html, element, outlines, picture, plot, switches, table, write_page

PHOTO, MAP = 1024, 512  # pixels: longest sides of pictures in the page
SCORES = ("precision", "recall", "hmean")
COLOURS = {"precision": "#0072b2", "recall": "#d55e00", "hmean": "#000000"}  # Okabe and Ito
DASHES = {"precision": "--", "recall": ":", "hmean": "-"}
OPTIMISTIC = (
    "A threshold that is chosen on the images on which it is scored looks better than it is: choose it on a validation "
    "split (data.test.split), and test it once on the test split (test_cfg.min_score)."
)


def write_report(
    path: str | Path,
    analysis: Analysis,
    predictor: Evaluator,
    dataset: TextDataset,
    about: dict[str, Any],
    most: int,
    checkpoints: Sequence[Mapping[str, Any]] = (),
    track: Track = silent,
) -> None:
    """Writes the page.

    The network runs again on the images that are shown, one by one, for their maps.

    Args:
        analysis: scores and matches.
        predictor: the detector.
        dataset: the test set.
        about: name -> value, what was tested: `checkpoint`, `split` and more.
        most: largest number of images that are shown, the worst first; all are listed.
        checkpoints: scores of other checkpoints beside, as from `evaluate_folder`.
        track: shows the progress of the images.
    """
    names = {dataset.parser[index].name: index for index in range(len(dataset))}
    shown = analysis.worst_first[:most]

    def parts() -> Iterator[Html]:
        rule = {key: analysis.summary[key] for key in ("protocol", "variant")}
        yield element("div", table(["", ""], (about | rule).items()), kind="about")
        yield from _checkpoints(checkpoints) if checkpoints else ()
        yield from _scores(analysis)
        yield from _thresholds(analysis, predictor.settings.min_score, about["split"])
        yield element("h2", "Recall by size and aspect")
        yield element("p", "Of the minimum-area rectangle of a text: the short side in pixels of the image, and the "
                      "ratio of its sides, long to short.")  # fmt: skip
        groups = ("short side", analysis.recall_by_side()), ("aspect", analysis.recall_by_aspect())
        yield element("div", *(_recall(*group) for group in groups), kind="side")
        yield from _images(analysis, shown)
        for number, name in enumerate(track(shown, len(shown)), 1):
            yield _image(analysis, predictor, dataset, names[name], number)

    write_page(path, f"Test of {about['checkpoint']}", parts())


def sweep_lines(sweep: Sequence[Mapping[str, float]], best: Mapping[str, float], min_score: float, split: str) -> str:
    """Every fifth line of a sweep, the configured and the best threshold, and what is to be said of them."""
    lines = ["min_score  " + "  ".join(f"{name:>9}" for name in SCORES)]
    for place, row in enumerate(sweep):
        marks = ["<- best"] * (row is best) + ["<- configured"] * (row["min_score"] == min_score)
        if (place % 5 == 0 and place >= _first_change(sweep)) or marks:
            cells = "  ".join(f"{row[name]:9.4f}" for name in SCORES)
            lines.append(f"{row['min_score']:<9g}  {cells} {' '.join(marks)}".rstrip())
    lines.append(f"best threshold on {split}: test_cfg.min_score={best['min_score']:g}, hmean {best['hmean']:.4f}")
    return "\n".join([*lines, OPTIMISTIC])


def _first_change(sweep: Sequence[Mapping[str, float]]) -> int:
    """Place of the highest threshold that keeps everything: below it, there is nothing to see."""
    kept = [row["predictions"] == sweep[0]["predictions"] for row in sweep]
    return max(place for place, same in enumerate(kept) if same)


def split_name(section: Mapping[str, Any]) -> str:
    """Name of the split that `data.test` describes."""
    return " ".join(str(section[key]) for key in ("type", "split") if key in section)


def _checkpoints(rows: Sequence[Mapping[str, Any]]) -> Iterator[Html]:
    best = max(rows, key=lambda row: row["hmean"])
    yield element("h2", "Checkpoints")
    numbered = [row for row in rows if row["epoch"] is not None]
    if len(numbered) > 1:
        yield _curves([row["epoch"] for row in numbered], numbered, "epoch", "o")
    cells = [
        [row["checkpoint"], "?" if row["epoch"] is None else row["epoch"], *(f"{row[name]:.4f}" for name in SCORES),
         "best, shown below" if row is best else ""]
        for row in rows
    ]  # fmt: skip
    yield table(["checkpoint", "epoch", *SCORES, ""], cells)


def _scores(analysis: Analysis) -> Iterator[Html]:
    summary = analysis.summary
    counts = "images", "ground_truth", "predictions", "true_positives", "precision_credits", "recall_credits"
    yield element("h2", "Scores")
    named = {name: f"{summary[name]:.4f}" for name in SCORES}
    named |= {name.replace("_", " "): f"{summary[name]:g}" for name in counts if name in summary}
    yield table(list(named), [list(named.values())])


def _thresholds(analysis: Analysis, min_score: float, split: str) -> Iterator[Html]:
    best, sweep = analysis.best, analysis.sweep
    yield element("h2", "Threshold")
    marks = {"configured": min_score, "best": best["min_score"]}
    rows = sweep[_first_change(sweep) :]
    yield _curves([row["min_score"] for row in rows], rows, "min_score", marks=marks)
    own = analysis.summary["hmean"]
    yield element("p", f"Best on {split}: min_score {best['min_score']:g} with hmean {best['hmean']:.4f}; configured: "
                  f"{min_score:g} with hmean {own:.4f}. {OPTIMISTIC}")  # fmt: skip
    cells = [[f"{row['min_score']:g}", *(f"{row[name]:.4f}" for name in SCORES)] for row in sweep]
    rows = element("div", table(["min_score", *SCORES], cells), kind="scroll")
    yield element("details", element("summary", "all thresholds"), rows)


def _curves(
    xs: Sequence[float], rows: Sequence[Mapping[str, float]], label: str, marker: str = "", marks: Mapping = {}
) -> Html:
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel=label, ylim=(0, 1))
    for name in SCORES:
        ys = [row[name] for row in rows]
        axes.plot(xs, ys, DASHES[name], color=COLOURS[name], marker=marker, markersize=4, label=name)
    for (name, x), dashes in zip(marks.items(), ("-", "--")):
        axes.axvline(x, color="#009e73", linewidth=1, linestyle=dashes, label=f"{name}: {x:g}")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return plot(figure)


def _recall(what: str, groups: Sequence[Group]) -> Html:
    rows = []
    for group in groups:
        share = group.recall or 0.0
        bar = element("span", kind="bar", style=f"width:{60 * share:.0f}px")
        rows.append([group.name, group.count, f"{share:.3f}" if group.count else "-", bar])
    return table([what, "texts", "recall", ""], rows)


def _images(analysis: Analysis, shown: Sequence[str]) -> Iterator[Html]:
    yield element("h2", "Images, the worst first")
    said = "Sorted by the number of missed texts and false positives. Point at an outline for number, score and match."
    yield element("p", f"{said} {len(shown)} of {len(analysis.worst_first)} images are shown.")
    rows = []
    for number, name in enumerate(analysis.worst_first, 1):
        scores = analysis.summary["per_image"][name]
        link = element("a", name, href=f"#image-{number}") if number <= len(shown) else name
        values = [f"{scores[key]:.3f}" for key in SCORES]
        rows.append([link, *analysis.errors(name), scores["ground_truth"], scores["predictions"], *values])
    header = ["image", "missed", "false positives", "texts", "detections", *SCORES]
    yield element("div", table(header, rows), kind="scroll")
    yield switches(maps=True) if shown else Html("")


def _image(analysis: Analysis, predictor: Evaluator, dataset: TextDataset, index: int, number: int) -> Html:
    name = dataset.parser[index].name
    photo = read_image(dataset.image_path(index))
    found, truth = analysis.detections[name], analysis.ground_truth[name]
    drawing = outlines(
        picture(photo, name, PHOTO),
        photo.shape[:2],
        truth,
        [one.polygon for one in found],
        analysis.scorer.matches[name],
        [one.score for one in found],
    )
    maps = [
        element("figure", picture(values, f"{what} map of {name}", MAP), element("figcaption", f"{what} map"))
        for what, values in _maps(predictor, dataset, index).items()
    ]
    return element(
        "figure",
        caption(number, name, analysis.summary["per_image"][name], analysis.errors(name)),
        drawing,
        element("div", *maps, kind="row maps"),
        id=f"image-{number}",
    )


def caption(number: int, name: str, scores: Mapping[str, float], errors: tuple[int, int]) -> Html:
    """Name and scores of an image."""
    missed, false = errors
    counts = (
        f"hmean {scores['hmean']:.3f}: {missed} of {scores['ground_truth']} texts missed, "
        f"{false} of {scores['predictions']} detections false"
    )
    return element("figcaption", f"{number}. ", element("b", name), " ", element("small", counts))


def _maps(predictor: Evaluator, dataset: TextDataset, index: int) -> dict[str, np.ndarray]:
    """Probabilities of text and of the (smallest) kernel in an image, as (h, w) uint8."""
    inputs = [predictor.task.network_input(dataset[index])]
    [output] = start(predictor.network, inputs, predictor.device, predictor.precision)()
    logits = dict(zip(predictor.detector.head.maps, output.arrays["logits"]))  # of several kernels the last, smallest
    return {
        what: np.rint(255 / (1 + np.exp(-np.clip(logits[what], -30, 30)))).astype(np.uint8)
        for what in ("text", "kernel")
    }
