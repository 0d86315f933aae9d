"""Tables and plots of what distillation buys, from the runs of benchmarks/distillation_gain.py.

python benchmarks/gain_report.py benchmarks/results/gain_synthetic.json
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import ROOT  # noqa: F401 (makes the project importable)
from matplotlib.figure import Figure
from scipy import stats

from command_line import Parser, run
from engine.report.comparison import LEVEL, RESAMPLES, SEED, pooled_hmean
from errors import InputError
from files import read_text

TEACHER, ALONE = "teacher", "student alone"
HEADLINES = {"hmean": "hmean, %", "ap": "AP, %"}  # of text, of objects
COLUMNS = {
    "hmean_usual": "hmean at 0.5",
    "ap": "AP",
    "pixel_ap_text": "pixel AP, text",
    "pixel_ap_kernel": "pixel AP, kernel",
    "ap50": "AP50",
    "ap75": "AP75",
}
_ENDS = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        learner: what was trained.
        seed: of everything random.
        seconds: wall time of the training.
        scores: hmean of the last epoch, of objects AP, and whatever else was measured, see `scores_of`.
        counts: of every image, see `scores_of`; empty where images were not kept apart.
        revision: of this project, with '+' where files differed from it.
        identity: hash of its config, data, teacher and seed; None where it was not kept.
    """

    learner: str
    seed: int
    seconds: float
    scores: dict[str, float]
    counts: Sequence[Sequence[float]] = ()
    revision: str | None = None
    identity: str | None = None


def scores_of(measured: Mapping[str, Any]) -> tuple[dict[str, float], list[list[float]]]:
    """Scores of a run from what gain_measure.py found.

    The thresholds of an image, of pixels and of instances, are the best of the other half of the images: those of even
    places in the list have those of the odd ones, and the other way round.

    Returns:
        `hmean` with these thresholds, over all images; and with those of the first pair alone (probabilities of 0.5,
        `usual`): `hmean_usual`, and `ap`, the area below precision over recall, of all `min_score`. `pixel_ap_text`,
        `pixel_ap_kernel`. And the counts (n, 4) of every image with its thresholds. Of objects, the scores as they are.
    """
    if "scores" in measured:
        return measured["scores"], []
    counts = np.array(list(measured["counts"].values()), float)  # (n, pairs, thresholds, 4)
    usual = counts[:, 0]
    chosen, chosen_usual = (best_of_other_half(some) for some in (counts.reshape(len(counts), -1, 4), usual))
    truths, predictions, found, true = usual.sum(0)[::-1].T  # from high thresholds to low ones
    precision, recall = true / np.maximum(predictions, 1), found / np.maximum(truths, 1)
    steps = np.diff(np.maximum.accumulate(recall), prepend=0.0)
    scores = {name: float(pooled_hmean(of.sum(0))) for name, of in (("hmean", chosen), ("hmean_usual", chosen_usual))}
    scores["ap"] = float((steps * precision).sum())
    scores |= {f"pixel_ap_{name}": value for name, value in measured["pixel_ap"].items()}
    return scores, chosen.tolist()


def best_of_other_half(counts: np.ndarray) -> np.ndarray:
    """Of counts (n, thresholds, 4) those (n, 4) with the threshold that is best for the other half of the images."""
    chosen = np.empty((len(counts), 4))
    for half in (0, 1):
        chosen[half::2] = counts[half::2, pooled_hmean(counts[1 - half :: 2].sum(0)).argmax()]
    return chosen


def headline(scores: Mapping[str, float]) -> str:
    """Name of the score that learners are compared by."""
    return next(name for name in HEADLINES if name in scores)


class Gain(NamedTuple):
    """Difference of two learners in a score, in points of 100.

    Attributes:
        differences: seed by seed, over the seeds that both have.
        seeds: LEVEL interval of their mean, by Student's t; None for one seed.
        images: bootstrap interval of the mean difference over images, of these seeds; None where they were not kept,
            and of other scores than the headline.
    """

    differences: list[float]
    seeds: tuple[float, float] | None
    images: tuple[float, float] | None

    @property
    def mean(self) -> float:
        return statistics.mean(self.differences)


def gain(learner: Sequence[Run], other: Sequence[Run], score: str | None = None) -> Gain | None:
    """How much better a learner is, in the headline or another score; None without a common seed."""
    ours, theirs = ({run.seed: run for run in runs} for runs in (learner, other))
    pairs = [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    if not pairs:
        return None
    name = score or headline(learner[0].scores)
    differences = [100 * (one.scores[name] - two.scores[name]) for one, two in pairs]
    seeds = images = None
    if len(differences) > 1:
        error = stats.sem(differences)
        seeds = tuple(float(statistics.mean(differences) + error * stats.t.ppf(p, len(differences) - 1)) for p in _ENDS)
    if score is None and all(len(run.counts) for pair in pairs for run in pair):
        counts = np.array([[run.counts for run in pair] for pair in pairs], float)  # (seeds, 2, images, 4)
        number = counts.shape[2]
        drawn = np.random.default_rng(SEED).multinomial(number, np.full(number, 1 / number), RESAMPLES)
        hmeans = pooled_hmean(np.einsum("ri,spic->rspc", drawn, counts))  # (resamples, seeds, 2)
        images = tuple(map(float, np.quantile(100 * (hmeans[..., 0] - hmeans[..., 1]).mean(1), _ENDS)))
    return Gain(differences, seeds, images)


def table(runs: Sequence[Run], control: str | None = None) -> str:
    """Markdown: scores in per cent, mean ± standard deviation over the seeds, and differences with their intervals.

    A difference is the mean over the seeds, its interval over them, and with how many of them it is above 0; "over
    images" is its interval over images.

    Args:
        control: name of the learner that the others are compared with besides the student alone; None for none.
    """
    groups = by_learner(runs)
    control = control if control in groups else None
    main = headline(runs[0].scores)
    extra = [name for name in COLUMNS if name != main and all(name in run.scores for run in runs)]
    others = [ALONE, *([control] if control else [])]
    header = ["learner", "seeds", HEADLINES[main], *(COLUMNS[name] for name in extra)]
    for other in others:
        header += [f"minus {'control' if other == control else other}", *(["over images"] if runs[0].counts else [])]
        header += [f"{COLUMNS['ap']} minus it"] if "ap" in extra else []
    lines = [_row([*header, "minutes a run"]), _row(["---"] * (len(header) + 1))]
    for name, of in groups.items():
        cells = [name, str(len(of)), *(spread([100 * run.scores[key] for run in of]) for key in (main, *extra))]
        for other in others:
            pair = (of, [] if name == other else groups[other])
            found = gain(*pair)
            cells += [_difference(found), *([_interval(found and found.images)] if runs[0].counts else [])]
            cells += [_difference(gain(*pair, "ap"))] if "ap" in extra else []
        lines.append(_row([*cells, f"{statistics.mean(run.seconds for run in of) / 60:.1f}"]))
    return "\n".join(lines)


def _difference(found: Gain | None) -> str:
    if found is None:
        return ""
    above = sum(difference > 0 for difference in found.differences)
    interval = f" ({_interval(found.seeds)})" if found.seeds else ""
    return f"{found.mean:+.2f}{interval}, {above} of {len(found.differences)}"


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:+.2f} to {ends[1]:+.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def by_learner(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each learner, in the order of the seeds."""
    names = dict.fromkeys(run.learner for run in runs)
    return {name: sorted((run for run in runs if run.learner == name), key=lambda run: run.seed) for name in names}


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation (n - 1); of a single value, itself."""
    mean = f"{statistics.mean(values):{sign}.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def write_plot(runs: Sequence[Run], path: Path) -> None:
    """For each learner, its score minus that of the student alone: of every seed, and the mean with its interval."""
    groups = by_learner(runs)
    learners = [name for name in groups if name != ALONE and not name.startswith(TEACHER)]
    figure = Figure(figsize=(7, 0.8 + 0.3 * len(learners)), layout="constrained")
    ax = figure.subplots()
    for place, name in enumerate(learners):
        if (found := gain(groups[name], groups[ALONE])) is None:
            continue
        ax.plot(found.differences, [place] * len(found.differences), ".", color="tab:gray")
        low, high = found.seeds or (found.mean, found.mean)
        ax.errorbar(found.mean, place, xerr=[[found.mean - low], [high - found.mean]], fmt="o", color="tab:blue")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(learners)), learners, fontsize=8)
    ax.invert_yaxis()
    name = headline(runs[0].scores)
    ax.set_xlabel(f"{name} minus student alone, points: seeds, and their mean with its {LEVEL:.0%} interval")
    figure.savefig(path, dpi=110)


def read_runs(path: Path) -> tuple[list[Run], str | None]:
    """The runs of a results.json, and the name of its control; InputError for another file."""
    known = [field.name for field in fields(Run)]
    try:
        content = json.loads(read_text(path, limit=None))
        runs = [Run(**{key: value for key, value in run.items() if key in known}) for run in content["runs"]]
        return runs, content.get("control")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is no results.json of distillation_gain.py ({error})") from error


if __name__ == "__main__":
    parser = Parser(description="Prints the table of a study again, from its results.json.")
    parser.add_argument("results", type=Path, metavar="FILE")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(lambda args: print(table(*read_runs(args.results))), parser)
