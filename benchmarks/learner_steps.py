"""What each learner of a study costs: time of a training step, beside that of the student alone.

    python benchmarks/learner_steps.py @benchmarks/studies/light_s_short.txt --teacher weights/light_m_icdar2015.pth.tar

A step is forward (of all networks), losses, backward and optimiser, on real batches in memory, in float32 on one core.
All learners take turns; the ratio is the median over the rounds, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from gain_learners import Learner, entries_of
from gain_report import ALONE
from harness import machine

from command_line import Parser
from engine.experiment import experiment_of
from engine.training.module import TrainingModule
from engine.training.run import build_learner
from errors import exit_code
from eval.files import write_json


def step_of(entry: Learner, teacher: Path, seed: int = 0) -> Callable[[], float]:
    """A step of a learner with this checkpoint as its teacher; returns the sum of its losses."""
    for own in entries_of(entry):
        own["checkpoint"] = str(teacher)
    cfg = experiment_of(entry.cfg, entry.name)
    L.seed_everything(seed, verbose=False)
    dataset = cfg.task.train_set(cfg.data.train, seed)
    batch: Any = cfg.task.collate([dataset[i % len(dataset)] for i in range(cfg.data.batch_size)])
    batch.images = batch.images.contiguous(memory_format=torch.channels_last)
    module = TrainingModule(build_learner(cfg, dataset), cfg.train_cfg, 1).train()
    optimizer = module.configure_optimizers()

    def step() -> float:
        total = torch.stack(list(module.learner(batch).losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return step


def measure(entries: list[Learner], teacher: Path, rounds: int) -> list[dict[str, Any]]:
    """A row for the student alone, then one for each learner: milliseconds, CPU time, and ratios to the first."""
    alone = {name: part for name, part in entries[0].base.items() if name != "distiller"}
    entries = [Learner(ALONE, alone, alone), *entries]
    steps = [step_of(entry, teacher) for entry in entries]
    for step in steps:  # the first one allocates
        step()
    times = []
    for _ in range(rounds):
        times.append([])
        for step in steps:
            start = time.perf_counter(), time.process_time()
            step()
            times[-1].append((1000 * (time.perf_counter() - start[0]), 1000 * (time.process_time() - start[1])))
    rows = []
    for place, entry in enumerate(entries):
        wall, cpu = zip(*(taken[place] for taken in times))
        ratios = [taken[place][1] / taken[0][1] for taken in times]
        row = {
            "learner": entry.name,
            "milliseconds": statistics.median(wall),
            "cpu_milliseconds": statistics.median(cpu),
        }
        rows.append(row | {"ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)], "rounds": rounds})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| learner | ms a step | CPU ms | times the student alone, CPU (spread) |", "| --- | --- | --- | --- |"]
    for row in rows:
        times = f"{row['milliseconds']:.0f} | {row['cpu_milliseconds']:.0f}"
        spread = f"{row['spread'][0]:.2f} to {row['spread'][1]:.2f}"
        lines.append(f"| {row['learner']} | {times} | {row['ratio']:.2f} ({spread}) |")
    return "\n".join(lines)


def main() -> None:
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("learners", nargs="+", metavar="CONFIG", help="as for distillation_gain.py")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="checkpoint of the teacher")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="steps of each learner (default 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="as for distillation_gain.py")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    torch.set_num_threads(1)
    entries = [Learner.parse(text, args.cfg_options) for text in args.learners if text.strip()]
    rows = measure(entries, args.teacher, args.rounds)
    print(table(rows))
    if args.json:
        write_json(args.json, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    sys.exit(exit_code(main))
