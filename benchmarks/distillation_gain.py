"""What distillation buys: one student, with equal data, steps and seeds, alone and with each learner that is named.

    python benchmarks/distillation_gain.py config/study/kkd.py config/study/kkd.py:weight=100 config/study/cwd.py
    python benchmarks/distillation_gain.py @benchmarks/studies/synthetic.txt --seeds 3 --jobs 2

CONFIG is a config with a distiller; CONFIG:KEY=VALUE,... changes entries of that section, and @FILE reads a list of
them, one a line. The teacher is trained from the config that they name as theirs; the student alone is the first of
them without its distiller. Each seed has a teacher of its own, or all share that of seed 0 (--share-teacher). What is
scored is the last epoch, on the test split.

Writes results.json, results.md and curves.png. A run that is finished is not run again and an interrupted one goes on,
so a study can be stopped at any time, and widened by more seeds or more learners.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, machine
from mmengine.config import Config

from engine.cli import fastest_precision, run_name  # isort: skip
from engine.config import load_config  # isort: skip
from engine.files import git_revision  # isort: skip
from errors import InputError  # isort: skip
from gain_report import ALONE, TEACHER, Run, table, write_plot  # isort: skip
from tools.demo_report import read_log  # isort: skip
from tools.once import Once  # isort: skip

LAST = "checkpoint_last.pth.tar"
SCORES = ("precision", "recall", "hmean")


@dataclass(frozen=True)
class Learner:
    """What is trained with every seed.

    Attributes:
        name: as in the table, and of its folder.
        config: path of a config file.
        options: of --cfg-options.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Learner:
        """CONFIG or CONFIG:KEY=VALUE,..., keys being entries of the distiller."""
        config, _, changes = text.partition(":")
        options = tuple(f"distiller.{change}" for change in changes.split(",") if change)
        name = " ".join([Path(config).stem, *changes.replace("'", "").split(",")]).strip()
        return cls(name, config, options)

    def load(self) -> dict[str, Any]:
        """The checked config, as a dict."""
        return load_config(self.config, self.options).to_dict()


class Study:
    """All runs of a study, each in OUT/LEARNER/seed_N.

    Args:
        texts: the learners as on the command line.
        out: the folder of the study.
        precision, device: of every run.
        threads: of every run; None to leave that to the libraries.
        share_teacher: whether all seeds have the teacher of seed 0.

    Raises:
        InputError: a config without distiller, or students that cannot be compared.
    """

    def __init__(
        self,
        texts: Sequence[str],
        out: Path,
        precision: str,
        device: str,
        threads: int | None = None,
        share_teacher: bool = False,
    ) -> None:
        self.learners = [Learner.parse(text) for text in texts]
        configs = [learner.load() for learner in self.learners]
        teachers = configs[0].get("distiller", {}).get("teachers")
        for learner, cfg in zip(self.learners, configs):
            if "distiller" not in cfg:
                raise InputError(f"{learner.config}: has no distiller; the student alone is added by itself")
            for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
                if cfg.get(section) != configs[0].get(section):
                    first = self.learners[0].config
                    raise InputError(f"{learner.config}: another '{section}' than {first}; only distillers may differ")
            if [teacher["config"] for teacher in cfg["distiller"]["teachers"]] != [teachers[0]["config"]]:
                raise InputError(f"{learner.config}: a study has one teacher, the same for all learners")
        self.out = out
        self.share_teacher = share_teacher
        self.options = ["--precision", precision, "--device", device]
        self.environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
        self.teacher = Learner(TEACHER, teachers[0]["config"])
        out.mkdir(parents=True, exist_ok=True)
        Config({name: part for name, part in configs[0].items() if name != "distiller"}).dump(out / "alone.py")
        self.alone = Learner(ALONE, str(out / "alone.py"))

    def run(self, seeds: int, jobs: int) -> list[Run]:
        """Runs what is not done yet, `jobs` at a time; returns all runs, learner by learner."""
        parts = (
            [(self.teacher, 1 if self.share_teacher else seeds), (self.alone, seeds)],
            [(x, seeds) for x in self.learners],
        )
        runs: list[Run] = []
        with ThreadPoolExecutor(jobs) as pool:
            for part in parts:  # the teachers are done when the others need them
                tasks = [(learner, seed) for learner, number in part for seed in range(number)]
                try:
                    runs += pool.map(lambda task: self.train(*task), tasks)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        return runs

    def train(self, learner: Learner, seed: int) -> Run:
        """One run, unless it is done."""
        folder = self._folder(learner, seed)
        folder.mkdir(parents=True, exist_ok=True)
        options, script = list(learner.options), "train.py"
        parts = [learner.load(), seed, self.options]
        if learner in self.learners:
            script = "knowledge_distillation_train.py"
            teacher = self._folder(self.teacher, 0 if self.share_teacher else seed)
            options.append(f"distiller.teachers.0.checkpoint={teacher / LAST}")
            parts.append((teacher / "run.done.json").read_text())
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        arguments = [ROOT / script, learner.config, "--work-dir", folder, "--seed", seed, *self.options]
        if options:
            arguments += ["--cfg-options", *options]
        once = Once(folder / "run", key, folder / LAST, arguments, resume=True)
        if once.seconds is None:
            with (folder / "log.txt").open("a") as log:
                try:
                    once(stdout=log, stderr=subprocess.STDOUT, env=self.environment)
                except InputError as error:
                    raise InputError(f"{error}: see {folder / 'log.txt'}") from None
        values = read_log(folder)
        scores = {name: float(values[f"val/{name}"][-1, 1]) for name in SCORES}
        curve = [(int(step) + 1, value) for step, value in values["val/hmean"].tolist()]
        print(f"{learner.name}, seed {seed}: hmean {scores['hmean']:.4f}, {once.seconds:.0f} s", flush=True)
        return Run(learner.name, seed, once.seconds, scores, curve)

    def _folder(self, learner: Learner, seed: int) -> Path:
        return (self.out / learner.name.replace(" ", "_") / f"seed_{seed}").resolve()


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    threads = None if args.jobs == 1 else max(1, machine()["cores"] // args.jobs)
    study = Study(args.learners, args.out, args.precision, args.device, threads, args.share_teacher)
    runs = study.run(args.seeds, args.jobs)
    lines = table(runs)
    results = {
        "command": ["python", "benchmarks/distillation_gain.py", *sys.argv[1:]],
        "machine": machine(),
        "revision": git_revision(),
        "precision": args.precision,
        "runs_at_a_time": args.jobs,
        "threads": threads,
        "seconds_of_this_call": round(time.monotonic() - start, 1),
        "seconds_of_all_runs": round(sum(run.seconds for run in runs), 1),
        "teacher": study.teacher.load(),
        "student": study.alone.load(),
        "runs": [asdict(run) for run in runs],
    }
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "results.md").write_text(lines + "\n")
    write_plot(runs, args.out / "curves.png")
    print(lines)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("learners", nargs="+", metavar="CONFIG")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (default 3)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at the same time (default 1)")
    parser.add_argument("--share-teacher", action="store_true", help="train one teacher, of seed 0, for all seeds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: outputs/gain/CONFIG, after the first config")
    parser.add_argument("--precision", default=fastest_precision(), help="default on this machine: %(default)s")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    args = parser.parse_args()
    if args.seeds < 1 or args.jobs < 1:
        parser.error("--seeds and --jobs must be 1 or more")
    args.out = args.out or Path("outputs/gain") / run_name(Learner.parse(args.learners[0]).config)
    return args


if __name__ == "__main__":
    arguments = parse_args()
    try:
        main(arguments)
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
