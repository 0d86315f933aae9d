"""The report of `make demo`: loss curves, scores, and what both models see in unseen images."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from dataset import read_image
from engine.experiment import Experiment
from engine.inference import Predictor
from engine.visualise import draw
from tools.demo.report import picture, plot, row, table, write_page

EXAMPLES = 6
NAMES = ("teacher", "student")


def write_report(out: Path, summary: Mapping[str, Any], configs: Mapping[str, Experiment]) -> None:
    """Writes OUT/report.html from the runs in OUT/teacher and OUT/student, trained by their configs."""
    scores = [[name, *(f"{summary[name][k]:.4f}" for k in ("precision", "recall", "hmean"))] for name in NAMES]
    seconds = [[step, f"{value:.0f}"] for step, value in summary["seconds"].items()]
    parts = [
        "<p>A teacher and a student distilled from it, trained and tested on synthetic curved text. "
        "Scores: CTW1500 protocol, variant <i>official</i>, on images that neither has seen.</p>",
        table(["", "precision", "recall", "hmean"], scores),
        "<h2>Training</h2>",
        plot(_curves({name: out / name for name in NAMES})),
        "<h2>Unseen images</h2><p>Green: ground truth. Red: detections with their scores.</p>",
        *_examples(out, configs),
        "<h2>Time</h2>",
        table(["step", "seconds"], seconds),
    ]
    write_page(out / "report.html", "KKDnet demo", parts)


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


def _curves(runs: Mapping[str, Path]) -> Figure:
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(runs) + 1)
    for ax, (name, folder) in zip(axes, runs.items()):
        log = read_log(folder)
        for key, points in log.items():
            if key.startswith("loss/"):
                ax.plot(*points.T, label=key.removeprefix("loss/"))
        ax.set(title=f"{name}: losses", xlabel="step", yscale="log")
        ax.legend(fontsize=7)
        if "val/hmean" in log:
            axes[-1].plot(*log["val/hmean"].T, marker="o", label=name)
    axes[-1].set(title="hmean on the test split", xlabel="step", ylim=(0, 1))
    axes[-1].legend(fontsize=7)
    return figure


def _examples(out: Path, cfgs: Mapping[str, Experiment]) -> list[str]:
    rows = []
    predictors = {name: Predictor.load(out / name / "checkpoint_last.pth.tar", device="cpu") for name in NAMES}
    dataset = cfgs["teacher"].task.test_set(cfgs["teacher"].data.test, cfgs["teacher"].test_cfg)
    for index in range(min(EXAMPLES, len(dataset))):
        sample = dataset[index]
        image = read_image(sample.record.image_path)
        figures = []
        for name in NAMES:
            with torch.inference_mode():
                [maps] = predictors[name].network(sample.image[None], [tuple(sample.image.shape[-2:])])
            logits = maps["logits"].numpy()
            figures.append(picture(draw(image, sample.record, predictors[name](image)), f"{sample.name}: {name}"))
            for channel, what in ((0, "text"), (1, "kernel")):
                probability = 1 / (1 + np.exp(-np.clip(logits[channel], -30, 30)))
                figures.append(picture((255 * probability).astype(np.uint8), f"{name}: {what} map"))
        rows.append(row(figures))
    return rows
