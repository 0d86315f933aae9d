"""Evaluation of all checkpoints of a folder in turn; scores already on disk are reused."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from engine.experiment import Experiment
from engine.files import lock_folder
from engine.inference.evaluator import Evaluator
from engine.inference.score_key import score_key
from engine.outputs import data_places
from engine.tasks.base import Task
from errors import InputError, say
from eval.files import write_json
from files import check_output, file_sha256, write_aside

SUFFIXES = (".pth.tar", ".pth", ".pt")


def evaluate_folder(
    cfg: Experiment,
    folder: Path,
    work_dir: Path,
    device: torch.device,
    precision: str,
    most: int = -1,
    batch_size: int = 1,
) -> list[dict[str, Any]]:
    """Scores of every checkpoint in `folder` (on the first `most` images), sorted by epoch.

    A file that cannot be loaded is reported and skipped.

    Each result is kept in `work_dir` and used again as long as nothing that it depends on has changed, see score_key.

    Raises:
        InputError: no folder, no checkpoint in it, or none that loads.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of checkpoints; name one behind the config")
    paths = sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIXES) and not p.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: no checkpoint ({', '.join(SUFFIXES)}) in it")
    task = cfg.task
    dataset = task.test_set(cfg.data.test, cfg.test_cfg)
    check_output("--work-dir", work_dir, data_places(cfg.data, dataset))
    images = range(len(dataset))[: most if most > 0 else None]
    how = cfg.model, cfg.config["data"]["test"], cfg.test_cfg, device.type, precision, batch_size
    common = score_key(dataset, images, *how)
    make = partial(Evaluator.of, cfg, device=device, precision=precision, batch_size=batch_size)
    rows, errors = [], []
    with lock_folder(work_dir):
        for number, path in enumerate(paths, 1):
            say(f"[{number}/{len(paths)}] {path.name} ", end="")
            try:
                row, reused = _evaluate(make, task, path, dataset, images, work_dir, common)
            except InputError as error:
                say(f"skipped: {error}")
                errors.append(error)
                continue
            rows.append(row)
            known = " (already evaluated)" if reused else ""
            print(f"{task.headline} {_cell(row[task.headline])}{known}", flush=True)
    if not rows:
        raise InputError(f"{folder}: none of {len(paths)} checkpoints can be evaluated; the last: {errors[-1]}")
    return sorted(rows, key=lambda row: (row["epoch"] is None, row["epoch"], row["checkpoint"]))


def _evaluate(
    make: Callable[..., tuple[Evaluator, dict[str, Any]]],
    task: Task,
    path: Path,
    dataset: Dataset,
    images: range,
    work_dir: Path,
    common: str,
) -> tuple[dict[str, Any], bool]:
    kept = work_dir / f"{path.name}.json"
    key = f"{file_sha256(path)} {common}"
    with suppress(OSError, ValueError, TypeError, KeyError):  # missing or damaged: it is made again
        row = json.loads(kept.read_text())
        if row["key"] == key:
            return row, True
    task.check_result_path("--work-dir", work_dir / "results" / path.name, ())
    predictor, about = make(path)
    summary = predictor.evaluate(dataset, predictor.predict(dataset, images), work_dir / "results" / path.name)
    number = re.search(r"(\d+)ep", path.name)
    epoch = about.get("epoch", int(number[1]) if number else None)
    row = {"checkpoint": path.name, "epoch": epoch, **{k: summary[k] for k in task.scores}, "key": key}
    write_json(kept, row)
    return row, False


def write_summary(rows: Sequence[Mapping[str, Any]], task: Task, work_dir: Path) -> None:
    """Prints the table with the best epoch marked, and writes scores.csv and scores.png."""
    best = max(rows, key=lambda row: row[task.headline] or 0.0)
    width = max(len(row["checkpoint"]) for row in rows)
    columns = [f"{name:>9}" for name in task.scores]
    print("\n" + "  ".join([f"{'checkpoint':<{width}}", "epoch", *columns]))
    for row in rows:
        epoch = "?" if row["epoch"] is None else row["epoch"]
        cells = [f"{_cell(row[name]):>{len(column)}}" for name, column in zip(task.scores, columns)]
        mark = "  <- best" if row is best else ""
        say("  ".join([f"{row['checkpoint']:<{width}}", f"{epoch:>5}", *cells]) + mark)
    with write_aside(work_dir / "scores.csv") as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["checkpoint", "epoch", *task.scores], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    _plot([row for row in rows if row["epoch"] is not None], task.scores, work_dir / "scores.png")
    print(f"\n{work_dir / 'scores.csv'}   {work_dir / 'scores.png'}", file=sys.stderr)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plot(rows: Sequence[Mapping[str, Any]], scores: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure  # imported here, because it is slow

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylim=(0, 1))
    for name in scores:
        values = [np.nan if row[name] is None else row[name] for row in rows]
        axes.plot([row["epoch"] for row in rows], values, marker="o", label=name)
    axes.legend()
    axes.grid(alpha=0.3)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=120)
