"""Whether bf16 trains like float32, for both networks or the teacher alone: `precision.py [--steps 200] [--seeds 3]`.

Teacher and student at full size, the same batches of rendered text. Every seed gives the student other initial weights,
the same ones in all precisions. Prints, and writes as JSON, the losses of all runs and how far their means over the run
are from those of float32. Training magnifies any rounding; what that alone does shows in the spread over the seeds, and
what bf16 itself does to a loss in the losses that the weights of the float32 run have in bf16, step by step.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import ROOT, machine

from command_line import Parser

import numpy as np  # isort: skip
import torch
from distillation_step import adam, stepper

from dataset import TextBatch, build_dataset, collate
from dataset.synthetic.text_set import write_dataset
from distillation import KernelMaskDistiller, Learner
from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector

from gain_report import spread  # isort: skip
from models import LOSSES

BASE, SAME_WEIGHTS = "float32", "bf16, weights of the float32 run"
KINDS = {BASE: (False, None), "float32, teacher in bf16": (False, torch.bfloat16), "bf16": (True, None)}


def batches(images: int, batch: int, side: int) -> list[TextBatch]:
    """Augmented samples of rendered text, seed 0."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), train=images, test=1, size=(side, side), seed=0)
        split = dict(type="CTW1500", split="train", img_size=side, short_size=side, kernel_scale=0.7)
        dataset = build_dataset(split, folder, training=True, seed=0)
        samples = [dataset[i] for i in range(images)]
    return [collate(samples[i : i + batch]) for i in range(0, images - batch + 1, batch)]


def new_learner(width: int, seed: int, teacher_dtype: torch.dtype | None = None) -> Learner:
    """A student with the initial weights of `seed`; the teacher is always the same."""
    options = [f"model.backbone.width={width}"]
    cfgs = [load_experiment(ROOT / f"config/kkd/{name}.py", options) for name in ("r50_ctw", "r18_ctw")]
    torch.manual_seed(0)
    teacher = new_detector(cfgs[0].model, pretrained=False)
    torch.manual_seed(seed)
    student = new_detector(cfgs[1].model, pretrained=False)
    learner = KernelMaskDistiller(student, LOSSES.build(cfgs[1].loss), [teacher])
    learner.teacher_dtype = teacher_dtype
    return learner.to(memory_format=torch.channels_last).train()


def runs_of(data: Sequence[TextBatch], steps: int, width: int, seed: int) -> Iterator[tuple[str, list[float]]]:
    """The name of a kind and the losses of its steps, kind by kind."""
    for name, (bf16, teacher_dtype) in KINDS.items():
        learner = new_learner(width, seed, teacher_dtype)
        optimizer, taken, same_weights = adam(learner, lr=1e-3), [], []
        for step in range(steps):
            batch = data[step % len(data)]
            if name == BASE:
                same_weights.append(loss_in_bf16(learner, batch))
            taken.append(stepper(learner, batch, optimizer, bf16)())
        yield name, taken
        if same_weights:
            yield SAME_WEIGHTS, same_weights


@torch.no_grad()
def loss_in_bf16(learner: Learner, batch: TextBatch) -> float:
    """The running statistics of the batch norms move, which in training nothing reads."""
    with torch.autocast("cpu", torch.bfloat16):
        return sum(loss.item() for loss in learner(batch).losses.values())


def table(runs: Mapping[str, Sequence[Sequence[float]]], last: int) -> str:
    """Markdown: how far the mean losses of each kind's runs (seeds, steps) are from those of float32.

    In per cent of the latter, mean ± standard deviation over the seeds, for all steps and the last ones.
    """
    lines = [f"| compared with float32 | seeds | all steps, % | last {last} steps, % |", "| --- | --- | --- | --- |"]
    for name in [kind for kind in runs if kind != BASE]:
        cells = [name, str(len(runs[name]))]
        for begin in (0, -last):
            base, means = (np.mean(np.asarray(runs[kind])[:, begin:], axis=1) for kind in (BASE, name))
            cells.append(spread((100 * (means / base - 1)).tolist(), "+"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def largest_step(runs: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Difference of a single loss in bf16 from that in float32 on the same weights."""
    furthest = np.abs(np.divide(runs[SAME_WEIGHTS], runs[BASE]) - 1).max()
    return f"{SAME_WEIGHTS}: no step further away than {100 * furthest:.2f} %"


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--last", type=int, default=20, help="steps at the end that are also compared by themselves")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="of the backbones; 64 is the full size")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--report", type=Path, metavar="FILE", help="train nothing: the table of such a file")
    args = parser.parse_args()
    if args.report:
        runs = json.loads(args.report.read_text())["losses"]
    else:
        data, runs = batches(16 * args.batch, args.batch, args.side), defaultdict(list)
        for seed in range(1, args.seeds + 1):
            for name, run in runs_of(data, args.steps, args.width, seed):
                runs[name].append(run)
                print(f"{name}, seed {seed}: mean loss {np.mean(run):.4f}", flush=True)
    print(table(runs, args.last))
    if SAME_WEIGHTS in runs:
        print(largest_step(runs))
    if args.json:
        options = {key: value for key, value in vars(args).items() if key not in ("json", "report")}
        args.json.write_text(json.dumps({"machine": machine(), "options": options, "losses": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
