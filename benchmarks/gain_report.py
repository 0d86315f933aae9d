"""Tables and plots of what distillation buys, from the runs of benchmarks/distillation_gain.py."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

TEACHER, ALONE = "teacher", "student alone"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        learner: what was trained.
        seed: of everything random.
        seconds: wall time of the training, measurements on the test split included.
        scores: precision, recall and hmean of the last epoch.
        curve: (steps done, hmean) of every measurement.
        revision: of this project, with '+' where files differed from it.
    """

    learner: str
    seed: int
    seconds: float
    scores: dict[str, float]
    curve: Sequence[tuple[int, float]]
    revision: str | None = None


def table(runs: Sequence[Run]) -> str:
    """Markdown: hmean in per cent, mean ± standard deviation over the seeds.

    Differences are taken seed by seed, over the seeds that both have; shares of the gap are of the means in the table.
    """
    groups = by_learner(runs)
    scores = {name: {run.seed: 100 * run.scores["hmean"] for run in of} for name, of in groups.items()}
    mean = {name: statistics.mean(of.values()) for name, of in scores.items()}
    gap = mean[TEACHER] - mean[ALONE]
    lines = [
        "| learner | seeds | hmean, % | minus student alone | seeds above it | gap closed | minutes a run |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, of in scores.items():
        minutes = statistics.mean(run.seconds for run in groups[name]) / 60
        cells = [name, str(len(of)), spread([*of.values()]), "", "", "", f"{minutes:.1f}"]
        if name != ALONE:
            differences = [value - scores[ALONE][seed] for seed, value in of.items() if seed in scores[ALONE]]
            above = sum(difference > 0 for difference in differences)
            cells[3:5] = [spread(differences, "+"), f"{above} of {len(differences)}"]
            if name != TEACHER and gap > 0:
                cells[5] = f"{100 * (mean[name] - mean[ALONE]) / gap:.0f} %"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_learner(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each learner, in the order of the seeds."""
    names = dict.fromkeys(run.learner for run in runs)
    return {name: sorted((run for run in runs if run.learner == name), key=lambda run: run.seed) for name in names}


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation (n - 1); of a single value, itself."""
    mean = f"{statistics.mean(values):{sign}.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def write_plot(runs: Sequence[Run], path: Path) -> None:
    """A panel for each learner: mean and range of hmean over training, that of the student alone behind it."""
    groups = by_learner(runs)
    learners = [name for name in groups if name not in (TEACHER, ALONE)]
    goal = statistics.mean(100 * run.scores["hmean"] for run in groups[TEACHER])
    columns = min(4, len(learners))
    rows = math.ceil(len(learners) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, name in zip(axes, learners):
        _band(ax, groups[ALONE], "tab:gray")
        _band(ax, groups[name], "tab:blue")
        ax.axhline(goal, color="tab:green", linestyle="--", label=TEACHER)
        ax.set_title(name, fontsize=8)
    for ax in axes[len(learners) :]:
        ax.set_visible(False)
    axes[0].legend(fontsize=7)
    figure.supxlabel("steps")
    figure.supylabel("hmean, % (mean and range over seeds)")
    figure.savefig(path, dpi=110)


def _band(ax, runs: Sequence[Run], colour: str) -> None:
    curves = [dict(run.curve) for run in runs]
    steps = sorted(set.intersection(*map(set, curves)))
    values = 100 * np.array([[curve[step] for step in steps] for curve in curves])  # (seeds, measurements)
    ax.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.25, linewidth=0)
    ax.plot(steps, values.mean(0), color=colour, marker=".", label=runs[0].learner)


def read_runs(path: Path) -> list[Run]:
    """The runs of a results.json."""
    return [Run(**run) for run in json.loads(path.read_text())["runs"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints the table of a study again, from its results.json.")
    parser.add_argument("results", type=Path, metavar="FILE")
    print(table(read_runs(parser.parse_args().results)))
