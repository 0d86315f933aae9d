"""Whether bf16 trains like float32, for both networks or the teacher alone: `precision.py [--steps 200]`.

Teacher and student at full size, the same initial weights, the same batches of rendered text. Prints, and writes as
JSON, the losses of all runs and how far apart their means over windows of steps are. With `--control`, a second
float32 run with other initial weights of the student shows how much of that chance would do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import ROOT, machine

import numpy as np  # isort: skip
import torch
from distillation_step import adam, stepper

from dataset import TextBatch, build_dataset, collate
from dataset.synthetic import write_dataset
from distillation import KernelMaskDistiller
from engine.checkpoint import new_detector
from engine.config import load_config
from models import LOSSES


def batches(images: int, batch: int, side: int) -> list[TextBatch]:
    """Augmented samples of rendered text, seed 0."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), train=images, test=1, size=(side, side), seed=0)
        split = dict(type="CTW1500", split="train", img_size=side, short_size=side, kernel_scale=0.7)
        dataset = build_dataset(split, folder, training=True, seed=0)
        samples = [dataset[i] for i in range(images)]
    return [collate(samples[i : i + batch]) for i in range(0, images - batch + 1, batch)]


def losses(
    data: Sequence[TextBatch],
    steps: int,
    width: int,
    bf16: bool = False,
    teacher_dtype: torch.dtype | None = None,
    seed: int = 1,
) -> list[float]:
    """Loss of every step of a student with the initial weights of `seed`; the teacher is always the same."""
    options = [f"model.backbone.width={width}"]
    cfgs = [load_config(ROOT / f"config/kkd/{name}.py", options) for name in ("r50_ctw", "r18_ctw")]
    torch.manual_seed(0)
    teacher = new_detector(cfgs[0].model, pretrained=False)
    torch.manual_seed(seed)
    student = new_detector(cfgs[1].model, pretrained=False)
    learner = KernelMaskDistiller(student, LOSSES.build(cfgs[1].loss), [(teacher, teacher.state_dict())])
    learner = learner.to(memory_format=torch.channels_last).train()
    learner.teacher_dtype = teacher_dtype
    optimizer = adam(learner, lr=1e-3)
    return [stepper(learner, data[step % len(data)], optimizer, bf16)() for step in range(steps)]


def compare_runs(runs: dict[str, list[float]], window: int) -> dict[str, object]:
    """Differences of each run's mean losses from those of 'float32', over the whole run and over windows, in parts."""
    means = {name: np.reshape(run, (-1, window)).mean(1) for name, run in runs.items()}
    base, report = means["float32"], {}
    for name in runs:
        if name != "float32":
            parts = np.abs(means[name] - base) / base
            whole = abs(np.mean(runs[name]) - np.mean(runs["float32"])) / np.mean(runs["float32"])
            report[name] = {"whole_run": float(whole), "windows": parts.tolist(), "last_window": float(parts[-1])}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="a multiple of the window")
    parser.add_argument("--window", type=int, default=20, help="steps of which the mean loss is compared")
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="of the backbones; 64 is the full size")
    parser.add_argument("--control", action="store_true", help="also the float32 run with other initial weights")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    data = batches(16 * args.batch, args.batch, args.side)
    kinds = {"float32": {}, "float32, teacher in bf16": dict(teacher_dtype=torch.bfloat16), "bf16": dict(bf16=True)}
    if args.control:
        kinds["float32, other initial weights"] = dict(seed=2)
    runs = {name: losses(data, args.steps, args.width, **options) for name, options in kinds.items()}
    report = compare_runs(runs, args.window)
    for name, run in runs.items():
        last = np.mean(run[-args.window :])
        print(f"{name}: mean loss {np.mean(run):.4f}, of the last {args.window} steps {last:.4f}")
    for name, found in report.items():
        print(
            f"{name} against float32: {100 * found['whole_run']:.2f} % over the run, {100 * found['last_window']:.2f} "
            f"% over the last window, at most {100 * max(found['windows']):.2f} % over any"
        )
    if args.json:
        options = {key: value for key, value in vars(args).items() if key != "json"}
        content = {"machine": machine(), "options": options, "losses": runs, "differences": report}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
