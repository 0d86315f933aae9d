"""The published recipe at full size, in as many minutes as there are, on whatever device there is.

    benchmarks/full_size.sh MINUTES --root data/ICDAR2015

KKD on ICDAR2015 at 640 px: a ResNet-50 teacher, a ResNet-18 student alone, and the same student distilled; 900 of the
training images, scored on the other 100. First each training is timed; then half of the time is the teacher's, and
the students share the rest with equal steps. Writes plan.json, results.json and results.md. The same command goes on
where it was interrupted, with the plan that it has made; other options need another --out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from device_work import WorkCounter, most_flops
from harness import ROOT, machine
from torch.optim.optimizer import register_optimizer_step_post_hook

from command_line import Parser
from engine import cli
from engine.experiment import load_experiment
from engine.inference.parallel import worker_count
from engine.precision import PRECISIONS, fastest_precision, resolve_device
from engine.training.run import train
from errors import InputError, exit_code
from eval.files import write_json
from files import write_aside
from models.weights import read_checkpoint
from tools.demo.once import Once

TEACHER, ALONE, DISTILLED = "teacher", "student_alone", "student_distilled"
CONFIGS = {TEACHER: "config/kkd/r50_ic15.py", ALONE: "config/kkd/r18_ic15.py", DISTILLED: "config/kkd/distill_ic15.py"}
LAST = "checkpoint_last.pth.tar"
STEPS, WARM_UP = 12, 4  # timed, and before
MARGIN = 0.9  # of the time that is planned with: machines slow down


def training_arguments() -> argparse.Namespace:
    """What train.py has without options."""
    parser = cli.parser("")
    cli.training_options(parser)
    return parser.parse_args([])


class FullSize:
    """Three trainings that share a time.

    Args:
        args: see the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out = args.out.resolve()
        self.device = ["--device", args.device, "--precision", args.precision]
        common = [
            f"data.root={args.root}",
            "data.train.split=train_part",
            "data.test.split=validation",
            f"data.train.img_size={args.size}",
            f"data.batch_size={args.batch_size}",
            f"data.num_workers={worker_count(args.workers)}",
            "train_cfg.val_interval=0",
        ]
        taught = f"distiller.teachers.0.checkpoint={self.out / TEACHER / LAST}"
        weights = {TEACHER: args.teacher_weights, ALONE: args.student_weights, DISTILLED: args.student_weights}
        self.options = {
            name: [
                *common,
                *args.cfg_options,
                *([f"model.backbone.pretrained={weights[name]}"] if weights[name] else []),
            ]
            for name in CONFIGS
        }
        self.options[DISTILLED] = ["model.recompute=False", *self.options[DISTILLED], taught]

    def run(self) -> None:
        """Times, plans, trains, writes the table."""
        start = time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        known = {"minutes": self.args.minutes, "options": self.options, "device": self.device}
        path = self.out / "plan.json"
        if path.is_file():
            plan = json.loads(path.read_text())
            if {key: plan[key] for key in known} != known:
                raise InputError(f"{path}: was made with other options; give another --out")
        else:
            plan = known | {"machine": machine(), "timed": self.timed()}
            spent = time.monotonic() - start
            plan["epochs"] = epochs(plan["timed"], 60 * self.args.minutes - spent)
            plan["peak_tflops"] = most_flops(*self.precision_and_device(), 0.5) / 1e12
            write_json(path, plan)
        rows = [self.train(name, plan) for name in CONFIGS]
        results = {**plan, "runs": rows, "seconds_of_this_call": round(time.monotonic() - start, 1)}
        write_json(self.out / "results.json", results)
        with write_aside(self.out / "results.md") as file:
            file.write_text(table(results) + "\n")
        print(table(results))

    def precision_and_device(self) -> tuple[str, Any]:
        device = resolve_device(self.args.device)
        return {"32": "float32", "bf16": "bf16"}.get(self.args.precision, "bf16"), device

    def timed(self) -> dict[str, dict[str, float]]:
        """Seconds and operations of a step of each training, and the steps of an epoch."""
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            teacher = Path(folder) / TEACHER / LAST
            for name, config in CONFIGS.items():
                options = [*self.options[name], "data.test=None"]
                if name == DISTILLED:
                    options.append(f"distiller.teachers.0.checkpoint={teacher}")
                cfg = load_experiment(ROOT / config, options)
                args = training_arguments()
                args.work_dir, args.device, args.precision = Path(folder) / name, self.args.device, self.args.precision
                args.devices, args.max_steps = 1, STEPS + WARM_UP
                ends: list[float] = []
                handle = register_optimizer_step_post_hook(lambda *_: ends.append(time.monotonic()))  # noqa: B023
                begin = time.monotonic()
                train(cfg, args, name)
                handle.remove()
                seconds = (ends[-1] - ends[WARM_UP - 1]) / STEPS
                args.max_steps = 1
                with WorkCounter() as counter:
                    train(cfg, args, name)
                found[name] = {
                    "seconds_per_step": seconds,
                    "start_seconds": ends[0] - begin,
                    "tflop_per_step": sum(work.flops for work in counter.works) / 1e12,
                    "steps_per_epoch": len(cfg.task.train_set(cfg.data.train, 0)) // cfg.data.batch_size,
                    "images_per_step": cfg.data.batch_size,
                }
        return found

    def train(self, name: str, plan: dict[str, Any]) -> dict[str, Any]:
        """Trains one network, unless it is done; its row of the table."""
        folder, timed = self.out / name, plan["timed"][name]
        folder.mkdir(exist_ok=True)
        script = "knowledge_distillation_train.py" if name == DISTILLED else "train.py"
        options = [*self.options[name], f"train_cfg.epoch={plan['epochs'][name]}"]
        arguments = [ROOT / script, ROOT / CONFIGS[name], "--work-dir", folder, *self.device, "--cfg-options", *options]
        once = Once(folder / "run", json.dumps([plan["options"], plan["epochs"]]), folder / LAST, arguments,
                    folder / "resume.ckpt")  # fmt: skip
        if once.seconds is None:
            print(f"{name}: {plan['epochs'][name]} epochs of {timed['steps_per_epoch']} steps", flush=True)
            once(cwd=ROOT)
        last = read_checkpoint(folder / LAST)
        steps = plan["epochs"][name] * timed["steps_per_epoch"]
        return {
            "name": name,
            "epochs": plan["epochs"][name],
            "steps": steps,
            "seconds": once.seconds,
            **last["metrics"],
        }


def epochs(timed: dict[str, dict[str, float]], seconds: float) -> dict[str, int]:
    """Epochs of each training that fit into a time: half of it for the teacher, equal numbers for both students.

    Raises:
        InputError: not even one each; the message says how much time that would take.
    """

    def cost(*names: str) -> float:
        return sum(timed[name]["seconds_per_step"] * timed[name]["steps_per_epoch"] for name in names)

    starts = sum(own["start_seconds"] for own in timed.values())
    starts = sum(own["start_seconds"] for own in timed.values())
    usable = MARGIN * seconds - starts
    teacher, students = int(usable / 2 / cost(TEACHER)), int(usable / 2 / cost(ALONE, DISTILLED))
    if min(teacher, students) < 1:
        least = (2 * max(cost(TEACHER), cost(ALONE, DISTILLED)) + starts) / MARGIN
        raise InputError(
            f"{seconds / 60:.1f} minutes are left for the trainings; one epoch each takes {least / 60:.1f}"
        )
    return {TEACHER: teacher, ALONE: students, DISTILLED: students}


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| network | epochs | steps | images/s | ms a step | of matmul | hmean, % | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in results["runs"]:
        timed = results["timed"][run["name"]]
        seconds = timed["seconds_per_step"]
        share = timed["tflop_per_step"] / seconds / results["peak_tflops"]
        cells = [
            run["name"].replace("_", " "), str(run["epochs"]), str(run["steps"]),
            f"{timed['images_per_step'] / seconds:.1f}", f"{1000 * seconds:.0f}", f"{share:.0%}",
            f"{100 * run['hmean']:.2f}", f"{run['seconds'] / 60:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--root", default="data/ICDAR2015", metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/full_size"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--teacher-weights", metavar="FILE", help="ImageNet weights of ResNet-50")
    parser.add_argument("--student-weights", metavar="FILE", help="ImageNet weights of ResNet-18")
    parser.add_argument("--size", type=int, default=640, help="of the crops, px (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read (default: one a core, 8 at most)")
    parser.add_argument(
        "--precision", choices=list(PRECISIONS), default=fastest_precision(), help="default: %(default)s"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="entries of every config")
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error("MINUTES must be above 0")
    return args


if __name__ == "__main__":
    arguments = parse_args()
    try:
        sys.exit(exit_code(lambda: FullSize(arguments).run()))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
