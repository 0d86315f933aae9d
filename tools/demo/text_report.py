"""The report of `make demo`: scores, sizes and times of the networks, loss curves, and what they see in new images."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from dataset import read_image
from engine.experiment import Experiment
from engine.inference.text_predictor import TextPredictor
from engine.report.comparison import LEVEL, Difference, difference, read_results
from engine.report.page import Html, element, outlines, picture, plot, switches, table, write_page
from eval import PROTOCOLS, judge

EXAMPLES = 6
PICTURE = 384  # pixels: longest side of a picture in the page
TITLES = {"teacher": "teacher", "student": "student, distilled", "student_alone": "student, alone"}
COLOURS = {"teacher": "#0072b2", "student": "#d55e00", "student_alone": "#009e73"}  # Okabe and Ito
SCORES = ("precision", "recall", "hmean")


def distillation_gain(out: Path) -> Difference:
    """What the distilled student scores beside the student alone, on the same images."""
    alone, distilled = (read_results(str(out / f"{name}_test")) for name in ("student_alone", "student"))
    return difference(alone, distilled)


def conclusion(hmean: Mapping[str, float], gain: Difference) -> str:
    """What the scores say, for better or worse.

    Args:
        hmean: of each network.
        gain: see distillation_gain.
    """
    teacher, distilled, alone = (hmean[name] for name in TITLES)
    ahead = teacher > max(distilled, alone)
    first = "is better than both students" if ahead else "is not better than both students and has little to teach"
    what = "better" if gain.hmean > 0 else "worse" if gain.hmean < 0 else "neither better nor worse"
    text = (
        f"The teacher (hmean {teacher:.3f}) {first}. Distillation made the student {what}: {distilled:.3f} distilled, "
        f"{alone:.3f} alone"
    )
    if gain.hmean:
        text += f", a difference of {gain.hmean:+.3f}"
    if gain.hmean and gain.low is not None:
        zero = "includes" if gain.low <= 0 <= gain.high else "excludes"
        text += f" ({LEVEL:.0%} interval over the test images {gain.low:+.3f} to {gain.high:+.3f}, which {zero} zero)"
    if ahead and gain.hmean > 0:
        text += f"; it closes {(distilled - alone) / (teacher - alone):.0%} of the gap to the teacher"
    return f"{text}. This is one seed: another gives other numbers."


def write_report(
    path: Path, summary: Mapping[str, Any], cfg: Experiment, predictors: Mapping[str, TextPredictor]
) -> None:
    """Writes the page on the runs in the folders NAME beside it; `cfg` has the test set, `predictors` the networks."""
    out = path.parent
    runs = {name: out / name for name in TITLES}
    seconds = [[step.replace("_", " "), f"{value:.0f}"] for step, value in summary["seconds"].items()]

    def parts() -> Iterator[Html]:
        yield element(
            "p", "A teacher, a student that was distilled from it, and the same student trained alone with the same "
            "images, steps and seed, on synthetic curved text. Precision is the share of detections that are right, "
            "recall that of the texts that are found, hmean their harmonic mean, by the official rule of CTW1500 on "
            "images that no network has learnt from.",
        )  # fmt: skip
        yield element("p", element("b", summary["conclusion"]))
        yield from _networks(summary)
        yield element("h2", "Training")
        yield plot(_curves(runs))
        yield from _examples(cfg, predictors)
        yield from _unlabelled(out)
        yield element("h2", "Time")
        yield table(["step", "seconds"], seconds)

    write_page(path, "KKDnet demo", parts())


def read_log(folder: Path) -> dict[str, np.ndarray]:
    """Name of a logged value to an array (n, 2) of step and value, over all parts of a resumed run."""
    values: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(folder.glob("logs/version_*/metrics.csv")):
        with path.open() as file:
            for line in csv.DictReader(file):
                for name, value in line.items():
                    if value and name not in ("step", "epoch"):
                        values.setdefault(name, []).append((float(line["step"]), float(value)))
    return {name: np.array(sorted(points)) for name, points in values.items()}


def figure(content: Html, caption: str) -> Html:
    """A picture with a caption."""
    return element("figure", content, element("figcaption", caption))


def row(figures: Sequence[Html]) -> Html:
    """Figures side by side."""
    return element("div", *figures, kind="row")


def _networks(summary: Mapping[str, Any]) -> Iterator[Html]:
    """The table of the networks, and what was timed."""
    runtimes = list(summary["student"]["milliseconds"])
    rows = []
    for name, title in TITLES.items():
        about = summary[name]
        times = [about["milliseconds"].get(runtime) for runtime in runtimes]
        cells = ["" if took is None else f"{took:.1f}" for took in times]
        rows.append([title, *(f"{about[key]:.4f}" for key in SCORES), f"{about['parameters'] / 1e6:.2f} M", *cells])
    yield table(["", *SCORES, "parameters", *(f"ms, {runtime}" for runtime in runtimes)], rows)
    yield element(
        "p", "Milliseconds of the network alone on this machine, for the picture at the end of the page: the median of "
        f"runs in turn in one process, float32, number of threads {summary['threads']}. Both students are one network, "
        "timed once; onnx (onnxruntime) and openvino have it as export.py wrote it.",
    )  # fmt: skip


def _curves(runs: Mapping[str, Path]) -> Figure:
    drawing = Figure(figsize=(8, 3.4), layout="constrained")
    task, terms = drawing.subplots(1, 2)
    logs = {name: read_log(folder) for name, folder in runs.items()}
    own = [key for key in logs["student_alone"] if key.startswith("loss/")]
    for name, log in logs.items():
        style = dict(label=TITLES[name], color=COLOURS[name])
        task.plot(log[own[0]][:, 0], sum(log[key][:, 1] for key in own), **style)
    for key, points in logs["student"].items():
        if key.startswith("loss/") and key not in own:
            terms.plot(*points.T, label=key.removeprefix("loss/"))
    task.set(title="losses of the labels, summed", xlabel="step", yscale="log")
    terms.set(title="terms of the distillation", xlabel="step", yscale="log")
    for axes in (task, terms):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    return drawing


def _examples(cfg: Experiment, predictors: Mapping[str, TextPredictor]) -> Iterator[Html]:
    """The first images of the test set: of each network the detections, judged, and its two maps below them."""
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    protocol, variant = cfg.test_cfg.protocol, cfg.test_cfg.variant
    truth = PROTOCOLS[protocol].read_ground_truth(dataset.parser.ground_truth)
    yield element("h2", "Unseen images")
    yield element(
        "p", "Outlines, and below them the probabilities of text and of its kernels, white being 1. Kernels are shrunk "
        "texts, which keep neighbours apart.",
    )  # fmt: skip
    yield switches(maps=False)
    for index in range(min(EXAMPLES, len(dataset))):
        path = dataset.image_path(index)
        jobs = {name: next(predictors[name].stream([(path.stem, path)])) for name in TITLES}
        drawn = []
        for name, job in jobs.items():
            polygons = [detection.polygon for detection in job.result]
            matches = judge(protocol, truth, {path.stem: polygons}, variant).matches[path.stem]
            scores = [detection.score for detection in job.result]
            caption = f"{path.stem}: {TITLES[name]}"
            photo, size = picture(_enlarged(job.picture), caption, PICTURE), job.picture.shape[:2]
            drawn.append(figure(outlines(photo, size, truth[path.stem], polygons, matches, scores), caption))
        yield row(drawn)
        for channel, what in enumerate(("text", "kernel")):
            maps = {name: _probability(job.maps[channel], job.picture.shape[:2]) for name, job in jobs.items()}
            captions = {name: f"{what} map: {TITLES[name]}" for name in maps}
            figures = [figure(picture(maps[n], captions[n], PICTURE), captions[n]) for n in maps]
            yield row(figures)


def _unlabelled(out: Path) -> Iterator[Html]:
    yield element("h2", "A picture without labels")
    yield element(
        "p", "What predict.py finds in it, outlines with their scores: with the distilled student; and, where its "
        "runtime is installed, with the detector that comes with the repository, which learnt words in photographs.",
    )  # fmt: skip
    found = {"distilled student": out / "predicted", "detector of weights/": out / "trained"}
    shown = {title: folder / "unlabelled.jpg" for title, folder in found.items() if folder.is_dir()}
    yield row(
        [
            figure(picture(_enlarged(read_image(path)), f"unlabelled.jpg: {title}", PICTURE), title)
            for title, path in shown.items()
        ]
    )


def _probability(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) of logits as a grey picture of (H, W) pixels, enlarged like the pictures beside it."""
    probability = 255 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return _enlarged(cv2.resize(np.rint(probability).astype(np.uint8), size[::-1], interpolation=cv2.INTER_LINEAR))


def _enlarged(image: np.ndarray) -> np.ndarray:
    """An image whose longest side is at least PICTURE."""
    factor = max(1.0, PICTURE / max(image.shape[:2]))
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
