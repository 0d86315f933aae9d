"""What distillation buys: one student, with equal data, steps and seeds, alone and with each learner that is named.

    python benchmarks/distillation_gain.py config/study/kkd.py config/study/kkd.py:weight=100 config/study/cwd.py
    python benchmarks/distillation_gain.py @benchmarks/studies/light.txt --teacher weights/light_l_icdar2015.pth.tar

A learner is CONFIG, or CONFIG:KEY=VALUE,... with entries that differ: KEY is one of its distiller, or the path of any
other (`loss.dense_weight`). Nothing but the distiller and what is so named may differ between learners. N*CONFIG trains
it with N seeds instead of --seeds, and @FILE reads a list of learners, one a line. Learners without a distiller are
students alone, trained in another way; the first of them is the control, which the others are compared with, too. The
student alone is added: the first config without its distiller. Teachers are trained from the configs that the learners
name as theirs, one for each seed, with --teachers N such that the seeds share N of them in turn, unless --teacher FILE
is one that is trained; where learners read class centres, these are made. What is scored is the last epoch, on the test
split (gain_measure.py).

Writes results.json, results.md and differences.png. A run that is finished is not run again and an interrupted one goes
on, so a study can be stopped at any time, and widened by more seeds or more learners. With --known FILE, the
results.json of another machine, the runs that it holds are not run again either.
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from harness import ROOT, machine
from mmengine.config import Config

from command_line import Parser

from files import file_sha256  # isort: skip
from engine.cli import run_name  # isort: skip
from engine.precision import PRECISIONS, fastest_precision  # isort: skip
from files import write_aside  # isort: skip
from errors import InputError, exit_code  # isort: skip
from eval.files import write_json  # isort: skip
from engine.training.stages import centers_path, features_path  # isort: skip
from gain_learners import Learner, Teachers, check_comparable, needs_centres  # isort: skip
from gain_report import ALONE, Run, headline, read_runs, scores_of, table, write_plot  # isort: skip
from models.weights import read_checkpoint  # isort: skip
from tools.demo.once import Once  # isort: skip

LAST = "checkpoint_last.pth.tar"
CENTRES = "class centres"


class Study:
    """All runs of a study, each in OUT/LEARNER/seed_N, from copies of the configs in OUT.

    Args:
        texts: the learners as on the command line.
        out: the folder of the study.
        precision, device: of every run.
        threads: of every run; None to leave that to the libraries.
        teachers: how many there are, seed S learns from teacher S modulo that; None for one for each seed.
        trained: checkpoint of the teacher of all seeds; None to train them.
        options: config entries of all students. The teacher has their `data.root`.
        known: runs of an earlier study, which are not run again; those of teachers that must be trained are.

    Attributes:
        control: name of the control; None without.

    Raises:
        InputError: no config with a distiller, students that cannot be compared, or a study running in `out`.
    """

    def __init__(
        self,
        texts: Sequence[str],
        out: Path,
        precision: str,
        device: str,
        threads: int | None = None,
        teachers: int | None = None,
        trained: Path | None = None,
        options: Sequence[str] = (),
        known: Sequence[Run] = (),
    ) -> None:
        self.known = {run.identity: run for run in known if run.identity}
        self.learners = [Learner.parse(text, options) for text in texts]
        first = self.learners[0]
        for learner in self.learners:
            check_comparable(learner, first)
        self.taught_by = Teachers(self.learners)
        if trained and len(self.taught_by.learners) > 1:
            raise InputError(f"--teacher is one, these learners have {len(self.taught_by.learners)}")
        alone = {name: part for name, part in first.base.items() if name != "distiller"}
        self.alone = Learner(ALONE, alone, alone)
        self.everything = [*self.taught_by.learners, self.alone, *self.learners]
        self.described = next(filter(needs_centres, self.learners), None)  # by its teachers, for all learners
        for learner in filter(needs_centres, self.learners):
            if self.taught_by.of(learner) != self.taught_by.of(self.described):
                raise InputError(f"{learner.name}: has class centres of other teachers than {self.described.name}")
        if twice := [name for name, n in Counter(learner.folder for learner in self.everything).items() if n > 1]:
            raise InputError(f"two learners would have the name '{twice[0]}'")
        self.control = next((learner.name for learner in self.learners if "distiller" not in learner.cfg), None)
        self.out = out.resolve()
        self.teachers = 1 if trained else teachers
        self.trained = trained
        self.options = ["--precision", precision, "--device", device]
        self.environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
        self.futures: dict[tuple[str, int], Future[Run]] = {}
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.out / "running.lock")  # until this process ends
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.out}: a study is running there; wait for it or give another --out") from None
        for learner in self.everything:  # what is running does not see a config that is edited meanwhile
            Config(learner.cfg).dump(self.out / f"{learner.folder}.py")

    def run(self, seeds: int, jobs: int) -> tuple[list[Run], list[str]]:
        """Runs what is not done yet, `jobs` at a time.

        Returns:
            All runs, learner by learner, without the learners of which a run failed; and what went wrong.
        """
        numbers = {learner.name: learner.seeds or seeds for learner in self.learners}
        most = max(numbers.values())
        teachers = self.taught_by.learners
        numbers |= dict.fromkeys((teacher.name for teacher in teachers), min(most, self.teachers or most))
        numbers[ALONE] = most
        with ThreadPoolExecutor(jobs) as pool:
            for seed in range(most):  # teachers first: who waits for one waits for a run that has begun
                for learner in self.everything:
                    if seed < numbers[learner.name]:
                        self.futures[learner.name, seed] = pool.submit(self.train, learner, seed)
                    if self.described and learner is teachers[-1] and seed < numbers[learner.name]:
                        self.futures[CENTRES, seed] = pool.submit(self.describe, seed)
            try:
                failures = {task: future.exception() for task, future in self.futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for error in failures.values():
            if error is not None and not isinstance(error, InputError):
                raise error
        failed = {name for (name, _), error in failures.items() if error is not None}
        names = [learner.name for learner in self.everything if learner.name not in failed]
        runs = [future.result() for name in names for (own, _), future in self.futures.items() if own == name]
        return runs, sorted({str(error) for error in failures.values() if error is not None})

    def train(self, learner: Learner, seed: int) -> Run:
        """Trains and measures one network, unless that is done."""
        teaches = learner in self.taught_by.learners
        identity = self.identity(learner, seed)
        if identity in self.known and not (teaches and self.trained is None):
            return replace(self.known[identity], learner=learner.name)
        folder = self.out / learner.folder / f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / LAST
        if teaches and self.trained:
            key, seconds, checkpoint = file_sha256(self.trained), 0.0, self.trained.resolve()
        else:
            key, seconds = self._train(learner, seed, folder)
        config, file = self.out / f"{learner.folder}.py", folder / "measured.json"
        arguments = [ROOT / "benchmarks/gain_measure.py", config, checkpoint, file, *self.options]
        self._once(learner.name, seed, Once(folder / "measure", _key([key, self.options]), file, arguments))
        if teaches and not self.trained:
            (folder / "done.json").write_text(json.dumps({"key": key, "checkpoint": str(checkpoint)}))
        scores, counts = scores_of(json.loads(file.read_text()))
        name = headline(scores)
        print(f"{learner.name}, seed {seed}: {name} {scores[name]:.4f}, {seconds:.0f} s", flush=True)
        revision = read_checkpoint(checkpoint)["git_revision"]
        return Run(learner.name, seed, seconds, scores, counts=counts, revision=revision, identity=identity)

    def identity(self, learner: Learner, seed: int) -> str:
        """Hash of all that the scores of a run depend on, wherever it is run, but code and rounding."""
        cfg = learner.cfg | {"data": {**learner.cfg["data"], "root": None}}
        root = learner.cfg["data"]["root"]
        parts = [cfg, seed, self.options, _data_and_weights(learner.cfg), _files_below(root)]
        if learner in self.taught_by.learners and self.trained:
            parts.append(file_sha256(self.trained))
        parts += [self.identity(teacher, self._teacher_seed(seed)) for teacher in self.taught_by.of(learner)]
        return _key(parts)

    def describe(self, seed: int) -> None:
        """Makes the class centres of the teachers with this seed."""
        learner, folder = self.described, self._described(seed)
        folder.mkdir(parents=True, exist_ok=True)
        taught = self._teachers(learner, seed)
        options = [f"distiller.teachers.{i}.checkpoint={teacher['checkpoint']}" for i, teacher in enumerate(taught)]
        features = [features_path(folder, number) for number in range(1, len(taught) + 1)]
        key = _key([learner.cfg, [teacher["key"] for teacher in taught]])
        config = self.out / f"{learner.folder}.py"
        collect = [ROOT / "tools/collect_roi_features.py", config, "--out", folder, "--cfg-options", *options]
        self._once(CENTRES, seed, Once(folder / "collect", key, features[-1], collect))
        fit = [ROOT / "tools/fit_centers.py", *features]
        self._once(CENTRES, seed, Once(folder / "fit", key, centers_path(features[-1]), fit))

    def _train(self, learner: Learner, seed: int, folder: Path) -> tuple[str, float]:
        """Returns the key of all that the checkpoint depends on, and the seconds it took."""
        script, options = "train.py", ["data.test=None"]  # what is scored is measured afterwards
        parts = [learner.cfg, seed, self.options, _data_and_weights(learner.cfg)]
        if "distiller" in learner.cfg:
            script = "knowledge_distillation_train.py"
        of_teachers = self._teacher_seed(seed)
        for index, teacher in enumerate(self._teachers(learner, of_teachers)):
            options.append(f"distiller.teachers.{index}.checkpoint={teacher['checkpoint']}")
            parts.append(teacher["key"])
            if needs_centres(learner):
                self.futures[CENTRES, of_teachers].result()
                features = features_path(self._described(of_teachers), index + 1)
                options.append(f"distiller.teachers.{index}.centers={centers_path(features)}")
        config = self.out / f"{learner.folder}.py"
        arguments = [ROOT / script, config, "--work-dir", folder, "--seed", seed, *self.options]
        key = _key(parts)
        once = Once(folder / "run", key, folder / LAST, [*arguments, "--cfg-options", *options], folder / "resume.ckpt")
        return key, self._once(learner.name, seed, once)

    def _described(self, seed: int) -> Path:
        return self.out / CENTRES.replace(" ", "_") / f"seed_{seed}"

    def _teacher_seed(self, seed: int) -> int:
        """Seed of the teacher that a student of this seed learns from."""
        return seed % self.teachers if self.teachers else seed

    def _teachers(self, learner: Learner, seed: int) -> list[dict[str, str]]:
        """The teachers of a learner, with this seed, once they are trained: file, and key of all that it depends on."""
        found = []
        for teacher in self.taught_by.of(learner):
            self.futures[teacher.name, seed].result()
            if self.trained:
                found.append({"key": file_sha256(self.trained), "checkpoint": str(self.trained.resolve())})
            else:
                found.append(json.loads((self.out / teacher.folder / f"seed_{seed}" / "done.json").read_text()))
        return found

    def _once(self, name: str, seed: int, once: Once) -> float:
        """Runs a step, its output into a log, unless it is done; returns its seconds."""
        if once.seconds is None:
            path = once.name.with_name("log.txt")
            with path.open("a") as log:
                try:
                    once(stdout=log, stderr=subprocess.STDOUT, env=self.environment)
                except InputError as error:
                    raise InputError(f"{name}, seed {seed}: {error}: {path}") from None
        return once.seconds


def _key(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _data_and_weights(cfg: Mapping[str, Any]) -> list[str | None]:
    """Further inputs of a run: description of synthetic data, weights to start from. Other data must stay as is."""
    made = Path(cfg["data"]["root"]) / "synthetic.json"
    paths = made, cfg.get("train_cfg", {}).get("pretrain"), cfg["model"]["backbone"].get("pretrained")
    return [file_sha256(path) if path and Path(path).is_file() else None for path in paths]


def _files_below(root: str | Path) -> str:
    """Hash of the names and sizes of all files."""
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    return _key([[path.relative_to(root).as_posix(), path.stat().st_size] for path in files])


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    threads = None if args.jobs == 1 else max(1, machine()["cores"] // args.jobs)
    known = [run for path in args.known for run in read_runs(path)[0]]
    place = args.out, args.precision, args.device, threads
    study = Study(args.learners, *place, args.teachers, args.teacher, args.cfg_options, known)
    runs, failures = study.run(args.seeds, args.jobs)
    if ALONE in {run.learner for run in runs}:
        results = {
            "command": ["python", "benchmarks/distillation_gain.py", *sys.argv[1:]],
            "machine": machine(),
            "precision": args.precision,
            "runs_at_a_time": args.jobs,
            "threads": threads,
            "seconds_of_this_call": round(time.monotonic() - start, 1),
            "seconds_of_all_runs": round(sum(run.seconds for run in runs), 1),
            "teachers": [teacher.cfg for teacher in study.taught_by.learners],
            "student": study.alone.cfg,
            "control": study.control,
            "runs": [asdict(run) for run in runs],
        }
        write_json(args.out / "results.json", results)
        with write_aside(args.out / "results.md") as path:
            path.write_text(table(runs, study.control) + "\n")
        write_plot(runs, args.out / "differences.png")
        print(table(runs, study.control))
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
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="checkpoint of the teacher of all seeds")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="entries of the students' configs"
    )
    parser.add_argument(
        "--known",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="results.json with runs that are not run again",
    )
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
    if args.teacher and args.teachers:
        parser.error("--teacher is one, --teachers are trained: give one of them")
    args.out = args.out or Path("outputs/gain") / run_name(re.sub(r"^\d+\*|:.*", "", args.learners[0]))
    return args


if __name__ == "__main__":
    arguments = parse_args()
    try:
        sys.exit(exit_code(lambda: main(arguments)))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
