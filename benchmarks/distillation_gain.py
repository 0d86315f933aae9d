"""What distillation buys: one student, with equal data, steps and seeds, alone and with each learner that is named.

    python benchmarks/distillation_gain.py config/study/kkd.py config/study/kkd.py:weight=100 config/study/cwd.py
    python benchmarks/distillation_gain.py @benchmarks/studies/synthetic.txt --seeds 3 --jobs 2

CONFIG is a config with a distiller; CONFIG:KEY=VALUE,... changes entries of that section, N*CONFIG trains it with N
seeds instead of --seeds, and @FILE reads a list of them, one a line. The teacher is trained from the config that they
name as theirs; the student alone is the first of them without its distiller. Each seed has a teacher of its own; with
--teachers N they share N of them in turn. What is scored is the last epoch, on the test split.

Writes results.json, results.md and curves.png. A run that is finished is not run again and an interrupted one goes on,
so a study can be stopped at any time, and widened by more seeds or more learners.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from harness import ROOT, machine
from mmengine.config import Config

from command_line import Parser

from files import file_sha256  # isort: skip
from engine.cli import run_name  # isort: skip
from engine.precision import PRECISIONS, fastest_precision  # isort: skip
from engine.experiment import load_experiment  # isort: skip
from files import write_aside  # isort: skip
from engine.tasks import TASKS, task_of  # isort: skip
from errors import InputError, exit_code  # isort: skip
from eval.files import write_json  # isort: skip
from gain_report import ALONE, TEACHER, Run, table, write_plot  # isort: skip
from models.weights import read_checkpoint  # isort: skip
from tools.demo.text_report import read_log  # isort: skip
from tools.demo.once import Once  # isort: skip

LAST = "checkpoint_last.pth.tar"
SCORES = ("precision", "recall", "hmean")


@dataclass(frozen=True)
class Learner:
    """A network that is trained with every seed.

    Attributes:
        name: as in the table.
        cfg: the checked config.
        seeds: with how many it is trained; None for as many as --seeds says.
    """

    name: str
    cfg: dict[str, Any]
    seeds: int | None = None

    @classmethod
    def parse(cls, text: str) -> Learner:
        """From [N*]CONFIG[:KEY=VALUE,...], the keys being entries of the distiller."""
        seeds, config, rest = re.fullmatch(r"(?:(\d+)\*)?([^:]*):?(.*)", text).groups()
        changes = [change for change in re.split(r",(?=\w+=)", rest) if change]
        cfg = load_experiment(config, [f"distiller.{change}" for change in changes]).config
        return cls(" ".join([Path(config).stem, *changes]).replace("'", ""), cfg, seeds and int(seeds))

    @property
    def folder(self) -> str:
        """A name for its files."""
        return re.sub(r"[^\w.=-]+", "_", self.name)


class Study:
    """All runs of a study, each in OUT/LEARNER/seed_N, from copies of the configs in OUT.

    Args:
        texts: the learners as on the command line.
        out: the folder of the study.
        precision, device: of every run.
        threads: of every run; None to leave that to the libraries.
        teachers: how many there are, seed S learns from teacher S modulo that; None for one for each seed.

    Raises:
        InputError: a config without distiller, students that cannot be compared, or a study running in `out`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        out: Path,
        precision: str,
        device: str,
        threads: int | None = None,
        teachers: int | None = None,
    ) -> None:
        self.learners = [Learner.parse(text) for text in texts]
        first = self.learners[0]
        for learner in self.learners:
            _check_comparable(learner, first)
        [entry] = _teachers(first)
        self.teacher = Learner(TEACHER, load_experiment(entry["config"], entry.get("cfg_options", ())).config)
        self.alone = Learner(ALONE, {name: part for name, part in first.cfg.items() if name != "distiller"})
        for name, own, other in (
            ("data.test", self.teacher.cfg["data"].get("test"), first.cfg["data"].get("test")),
            ("test_cfg", self.teacher.cfg.get("test_cfg"), first.cfg.get("test_cfg")),
        ):
            if own != other:
                raise InputError(f"{entry['config']}: the teacher is scored by another {name} than its students")
        everything = [self.teacher, self.alone, *self.learners]
        if twice := [name for name, n in Counter(learner.folder for learner in everything).items() if n > 1]:
            raise InputError(f"two learners would have the name '{twice[0]}'")
        self.out = out.resolve()
        self.teachers = teachers
        self.options = ["--precision", precision, "--device", device]
        self.environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
        self.futures: dict[tuple[str, int], Future[Run]] = {}
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.out / "running.lock")  # until this process ends
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.out}: a study is running there; wait for it or give another --out") from None
        for learner in everything:  # what is running does not see a config that is edited meanwhile
            Config(learner.cfg).dump(self.out / f"{learner.folder}.py")

    def run(self, seeds: int, jobs: int) -> tuple[list[Run], list[str]]:
        """Runs what is not done yet, `jobs` at a time.

        Returns:
            All runs, learner by learner, without the learners of which a run failed; and what went wrong.
        """
        numbers = {learner.name: learner.seeds or seeds for learner in self.learners}
        most = max(numbers.values())
        numbers |= {TEACHER: min(most, self.teachers or most), ALONE: most}
        learners = [self.teacher, self.alone, *self.learners]
        tasks = [(learner, seed) for learner in learners for seed in range(numbers[learner.name])]
        with ThreadPoolExecutor(jobs) as pool:
            for learner, seed in tasks:  # teachers first: who waits for one waits for a run that has begun
                self.futures[learner.name, seed] = pool.submit(self.train, learner, seed)
            try:
                failures = {task: future.exception() for task, future in self.futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for error in failures.values():
            if error is not None and not isinstance(error, InputError):
                raise error
        failed = {name for (name, _), error in failures.items() if error is not None}
        runs = [future.result() for (name, _), future in self.futures.items() if name not in failed]
        return runs, sorted({str(error) for error in failures.values() if error is not None})

    def train(self, learner: Learner, seed: int) -> Run:
        """One run, unless it is done."""
        folder = self.out / learner.folder / f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        script, options = "train.py", []
        parts = [learner.cfg, seed, self.options, _data_and_weights(learner.cfg)]
        if "distiller" in learner.cfg:
            script = "knowledge_distillation_train.py"
            seed_of_teacher = seed % self.teachers if self.teachers else seed
            self.futures[TEACHER, seed_of_teacher].result()
            teacher = self.out / self.teacher.folder / f"seed_{seed_of_teacher}"
            options = ["--cfg-options", f"distiller.teachers.0.checkpoint={teacher / LAST}"]
            parts.append(json.loads((teacher / "run.done.json").read_text())["key"])
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        config = self.out / f"{learner.folder}.py"
        arguments = [ROOT / script, config, "--work-dir", folder, "--seed", seed, *self.options, *options]
        once = Once(folder / "run", key, folder / LAST, arguments, resume=folder / "resume.ckpt")
        if once.seconds is None:
            with (folder / "log.txt").open("a") as log:
                try:
                    once(stdout=log, stderr=subprocess.STDOUT, env=self.environment)
                except InputError as error:
                    raise InputError(f"{learner.name}, seed {seed}: {error}: {folder / 'log.txt'}") from None
        last = read_checkpoint(folder / LAST)
        scores = {name: last["metrics"][name] for name in SCORES}
        curve = [(int(step) + 1, value) for step, value in read_log(folder)["val/hmean"].tolist()]
        print(f"{learner.name}, seed {seed}: hmean {scores['hmean']:.4f}, {once.seconds:.0f} s", flush=True)
        return Run(learner.name, seed, once.seconds, scores, curve, last["git_revision"])


def _teachers(learner: Learner) -> list[dict[str, Any]]:
    """Its teachers, whatever checkpoints they name."""
    entries = learner.cfg["distiller"]["teachers"]
    return [{key: value for key, value in entry.items() if key != "checkpoint"} for entry in entries]


def _check_comparable(learner: Learner, first: Learner) -> None:
    """InputError unless two learners differ in their distillers' methods alone, and can be scored."""
    if "distiller" not in learner.cfg:
        raise InputError(f"{learner.name}: has no distiller; the student alone is added by itself")
    if learner.cfg["data"].get("test") is None or task_of(learner.cfg) is not TASKS["text"]:
        raise InputError(f"{learner.name}: a study takes text detectors with a data.test to score them on")
    for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
        if learner.cfg.get(section) != first.cfg.get(section):
            raise InputError(f"{learner.name}: another '{section}' than {first.name}; only distillers may differ")
    if len(_teachers(learner)) != 1 or _teachers(learner) != _teachers(first):
        raise InputError(f"{learner.name}: a study has one teacher, the same for all learners")


def _data_and_weights(cfg: Mapping[str, Any]) -> list[str | None]:
    """Further inputs of a run: description of synthetic data, weights to start from. Other data must stay as is."""
    made = Path(cfg["data"]["root"]) / "synthetic.json"
    paths = made, cfg.get("train_cfg", {}).get("pretrain"), cfg["model"]["backbone"].get("pretrained")
    return [file_sha256(path) if path and Path(path).is_file() else None for path in paths]


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    threads = None if args.jobs == 1 else max(1, machine()["cores"] // args.jobs)
    study = Study(args.learners, args.out, args.precision, args.device, threads, args.teachers)
    runs, failures = study.run(args.seeds, args.jobs)
    if {TEACHER, ALONE} <= {run.learner for run in runs}:
        results = {
            "command": ["python", "benchmarks/distillation_gain.py", *sys.argv[1:]],
            "machine": machine(),
            "precision": args.precision,
            "runs_at_a_time": args.jobs,
            "threads": threads,
            "seconds_of_this_call": round(time.monotonic() - start, 1),
            "seconds_of_all_runs": round(sum(run.seconds for run in runs), 1),
            "teacher": study.teacher.cfg,
            "student": study.alone.cfg,
            "runs": [asdict(run) for run in runs],
        }
        write_json(args.out / "results.json", results)
        with write_aside(args.out / "results.md") as path:
            path.write_text(table(runs) + "\n")
        write_plot(runs, args.out / "curves.png")
        print(table(runs))
    if failures:
        raise InputError("; ".join(failures))


def parse_args() -> argparse.Namespace:
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("learners", nargs="+", metavar="CONFIG")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (default 3)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at the same time (default 1)")
    parser.add_argument("--teachers", type=int, metavar="N", help="default: one for each seed")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: outputs/gain/CONFIG, after the first config")
    parser.add_argument(
        "--precision",
        choices=list(PRECISIONS),
        default=fastest_precision(),
        help="default on this machine: %(default)s",
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    args = parser.parse_args()
    args.learners = [text for text in args.learners if text.strip()]  # a list may have blank lines
    if not args.learners:
        parser.error("no CONFIG given")
    if min(args.seeds, args.jobs, 1 if args.teachers is None else args.teachers) < 1:
        parser.error("--seeds, --jobs and --teachers must be 1 or more")
    args.out = args.out or Path("outputs/gain") / run_name(re.sub(r"^\d+\*|:.*", "", args.learners[0]))
    return args


if __name__ == "__main__":
    arguments = parse_args()
    try:
        sys.exit(exit_code(lambda: main(arguments)))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
