"""What a text detector costs by part: parameters, FLOPs of a forward pass, activations kept for the backward pass.

python tools/model_complexity.py CONFIG needs neither a GPU nor weights: tensors without content are sent through the
network. For a distillation config it measures the student, and gives the totals of its teachers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from engine import cli
from engine.experiment import Experiment, load_experiment
from engine.tasks import TASKS
from engine.training.checkpoint import new_detector
from errors import InputError
from eval.files import write_json
from files import check_output
from tools.make_synthetic import parse_size

NOTES = """\
FLOPs: convolutions and matrix products of one forward pass; a multiply-add counts as 2.
Activations: float32 tensors that the backward pass of a training step needs; mixed precision halves most of them."""
RECOMPUTED = (
    "model.recompute=True: those of backbone and neck are not kept, but computed again, one part after the other."
)


class Cost(NamedTuple):
    """Of one part of a network, for one batch.

    Attributes:
        parameters: number of weights, batch-norm statistics not counted.
        flops: of convolutions and matrix products in a forward pass, two for each multiply-add.
        activation_bytes: tensors that autograd keeps for the backward pass, the weights not counted. What two parts
            keep counts for the first.
    """

    parameters: int
    flops: int
    activation_bytes: int


def measure(detector: nn.Module, batch: int, width: int, height: int) -> dict[str, Cost]:
    """Cost of each part (child) of a network and their 'total', for images (batch, 3, height, width).

    The network is moved to the meta device, where tensors have shapes but no content.
    """
    detector = detector.to("meta").train()
    root = type(detector).__name__
    counter, tracker = FlopCounterMode(display=False), ModuleTracker()
    weights = {_storage(tensor) for tensor in detector.state_dict(keep_vars=True).values()}
    kept: dict[int, tuple[Tensor, frozenset[str]]] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in weights:
            kept.setdefault(_storage(tensor), (tensor, frozenset(tracker.parents)))
        return tensor

    with tracker, counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        detector(torch.empty(batch, 3, height, width, device="meta"))
    flops = counter.get_flop_counts()

    def cost(part: nn.Module, name: str) -> Cost:
        saved = sum(tensor.untyped_storage().nbytes() for tensor, parents in kept.values() if name in parents)
        return Cost(sum(p.numel() for p in part.parameters()), sum(flops.get(name, {}).values()), saved)

    parts = {name: cost(part, f"{root}.{name}") for name, part in detector.named_children()}
    return {**parts, "total": cost(detector, root)}


def _storage(tensor: Tensor) -> int:
    """Identity of the memory that views and in-place results share, while one of them lives."""
    return tensor.untyped_storage()._cdata


def table(rows: Mapping[str, Cost]) -> str:
    """Aligned columns, a line for each row."""
    first = max(map(len, rows))
    lines = [f"{'':{first}}  {'parameters (M)':>14}  {'FLOPs (G)':>10}  {'activations (MiB)':>17}"]
    for name, cost in rows.items():
        numbers = cost.parameters / 1e6, cost.flops / 1e9, cost.activation_bytes / 2**20
        lines.append(f"{name:{first}}  {numbers[0]:14.3f}  {numbers[1]:10.3f}  {numbers[2]:17.1f}")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> None:
    width, height = args.size
    if width % 32 or height % 32 or min(args.size) < 64:
        raise InputError(f"--size {width}x{height}: expected multiples of 32, 64 or more")
    if args.batch < 1:
        raise InputError(f"--batch {args.batch}: expected 1 or more")
    cfg = load_experiment(args.config, args.cfg_options)
    if args.json:
        check_output("--json", args.json, [args.config], folder=False)
    if cfg.task is not TASKS["text"]:
        raise InputError(f"{args.config}: an object detector, whose cost depends on what is in the image; not measured")
    rows = _measure_config(cfg, args)
    for teacher in cfg.distiller.teachers if cfg.distiller else ():
        cost = _measure_config(load_experiment(teacher.config, teacher.cfg_options), args)["total"]
        rows[f"teacher {teacher.config}"] = cost._replace(activation_bytes=0)  # it has no backward pass
    print(f"{args.config}, {args.batch} x 3 x {height} x {width} (batch, channels, height, width)")
    print(table(rows))
    print(NOTES)
    if cfg.model.get("recompute"):
        print(RECOMPUTED)
    if args.json:
        costs = {name: cost._asdict() for name, cost in rows.items()}
        write_json(args.json, {"config": args.config, "batch": args.batch, "size": [width, height], "costs": costs})


def _measure_config(cfg: Experiment, args: argparse.Namespace) -> dict[str, Cost]:
    model = {key: value for key, value in cfg.model.items() if key != "recompute"}
    return measure(new_detector(model, pretrained=False), args.batch, *args.size)


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config file, such as config/kkd/distill_ctw.py")
    parser.add_argument("--size", type=parse_size, default=(640, 640), metavar="WxH", help="default 640x640")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images in a batch (default 1)")
    parser.add_argument("--json", metavar="FILE", help="write the exact numbers there")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
