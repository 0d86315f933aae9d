"""How strongly each distillation term pulls: its gradient beside that of the student's own losses.

    python benchmarks/term_gradients.py config/study/kkd.py config/study/cwd.py --study outputs/gain/synthetic

Takes the teachers and the lone student of a finished study (benchmarks/distillation_gain.py), all of whose learners
must be named, and prints, for every term of every learner, the norm of its gradient in the student's backbone divided
by that of all task losses together, of objects also that in the neck: for the student at the beginning and at the end
of its training, medians over batches.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import lightning as L
import torch
from gain_learners import Learner, Teachers, needs_centres
from gain_study import LAST, described
from harness import machine
from torch import Tensor, nn

from command_line import Parser
from distillation import Supervised
from engine.experiment import experiment_of
from engine.training.run import build_learner
from engine.training.stages import centers_path, features_path
from errors import exit_code
from models.weights import load_strict, read_weights


def parts_of(student: nn.Module) -> dict[str, nn.Module]:
    """Where gradients are measured, by what stands after the name of a term."""
    if isinstance(student.backbone, nn.ModuleDict):
        return {", backbone": student.backbone["body"], ", neck": student.backbone["fpn"]}
    return {"": student.backbone}


def ratios(learner: Supervised, batch: Any, own_losses: Collection[str]) -> dict[str, float]:
    """Norm of the gradient of each distillation term, over the norm of that of the sum of the student's own losses."""

    def norm(loss: Tensor, part: nn.Module) -> float:
        gradients = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
        return torch.stack([g.square().sum() for g in gradients if g is not None]).sum().sqrt().item()

    losses = learner(batch).losses
    task = sum(losses[name] for name in own_losses)
    own = {suffix: norm(task, part) for suffix, part in parts_of(learner.student).items()}
    return {
        name + suffix: norm(loss, part) / own[suffix]
        for name, loss in losses.items()
        if name not in own_losses
        for suffix, part in parts_of(learner.student).items()
    }


def measure(
    entry: Learner, teachers: Teachers, study: Path, seed: int, teacher: int, batches: int
) -> dict[str, dict[str, float]]:
    """{'start' and 'end': {term: median ratio}} of a learner with the teachers of a seed, in float32."""
    config = copy.deepcopy(entry.cfg)
    for number, (own, taught) in enumerate(zip(config["distiller"]["teachers"], teachers.of(entry)), 1):
        own["checkpoint"] = str(study / taught.folder / f"seed_{teacher}" / LAST)
        if needs_centres(entry):
            own["centers"] = str(centers_path(features_path(described(study, teacher), number)))
    cfg = experiment_of(config, entry.name)
    L.seed_everything(seed, verbose=False)
    dataset = cfg.task.train_set(cfg.data.train, seed)
    learner = build_learner(cfg, dataset).train()
    size = cfg.data.batch_size

    def batch_of(number: int) -> Any:
        return cfg.task.collate([dataset[(number * size + i) % len(dataset)] for i in range(size)])

    with torch.random.fork_rng():
        own_losses = cfg.task.supervised(learner.student, learner.loss)(batch_of(0)).losses.keys()
    found = {}
    for moment in ("start", "end"):
        if moment == "end":
            path = study / "student_alone" / f"seed_{seed}" / LAST
            load_strict(learner.student, read_weights(path), source=path)
        each = [ratios(learner, batch_of(number), own_losses) for number in range(batches)]
        found[moment] = {name: statistics.median(r[name] for r in each) for name in each[0]}
    return found


def main() -> None:
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("learners", nargs="+", metavar="CONFIG", help="as for distillation_gain.py")
    parser.add_argument("--study", type=Path, required=True, metavar="DIR", help="the --out of distillation_gain.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teachers", type=int, metavar="N", help="as for distillation_gain.py")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="as for distillation_gain.py")
    args = parser.parse_args()
    if min(args.batches, 1 if args.teachers is None else args.teachers) < 1:
        parser.error("--batches and --teachers must be 1 or more")
    teacher = args.seed % args.teachers if args.teachers else args.seed
    entries = [Learner.parse(text, args.cfg_options) for text in args.learners if text.strip()]
    place = Teachers(entries), args.study, args.seed, teacher, args.batches
    rows = {entry.name: measure(entry, *place) for entry in entries if "distiller" in entry.cfg}
    print("| learner | term | at the beginning | at the end |\n| --- | --- | --- | --- |")
    for name, moments in rows.items():
        for term in moments["start"]:
            print(f"| {name} | {term} | {moments['start'][term]:.2g} | {moments['end'][term]:.2g} |")
    if args.json:
        content = {"machine": machine(), "seed": args.seed, "batches": args.batches, "ratios": rows}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
