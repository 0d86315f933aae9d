"""A study of benchmarks/distillation_gain.py: its runs, each in a folder, each once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from gain_learners import Learner, Teachers, check_comparable, needs_centres
from gain_report import ALONE, Run, headline, scores_of
from harness import ROOT
from mmengine.config import Config

from engine.training.stages import centers_path, features_path
from errors import InputError
from files import file_sha256
from models.weights import read_checkpoint
from tools.demo.once import Once

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
        of_teachers: config entries of all teachers.
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
        of_teachers: Sequence[str] = (),
        known: Sequence[Run] = (),
    ) -> None:
        self.known = {run.identity: run for run in known if run.identity}
        self.learners = [Learner.parse(text, options, of_teachers) for text in texts]
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
        others = [learner for learner in self.learners if "distiller" not in learner.cfg]
        self.control = next((one.name for one in others if one.cfg.get("loss") != alone.get("loss")), None)
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
        learner, folder = self.described, described(self.out, seed)
        folder.mkdir(parents=True, exist_ok=True)
        taught = self._teachers(learner, seed)
        options = [f"distiller.teachers.{i}.checkpoint={teacher['checkpoint']}" for i, teacher in enumerate(taught)]
        features = [features_path(folder, number) for number in range(1, len(taught) + 1)]
        key = _key([learner.cfg, [teacher["key"] for teacher in taught]])
        config = self.out / f"{learner.folder}.py"
        collect = [ROOT / "tools/collect_roi_features.py", config, "--out", folder, *self.options]
        collect += ["--cfg-options", *options]
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
                features = features_path(described(self.out, of_teachers), index + 1)
                options.append(f"distiller.teachers.{index}.centers={centers_path(features)}")
        config = self.out / f"{learner.folder}.py"
        arguments = [ROOT / script, config, "--work-dir", folder, "--seed", seed, *self.options]
        key = _key(parts)
        once = Once(folder / "run", key, folder / LAST, [*arguments, "--cfg-options", *options], folder / "resume.ckpt")
        return key, self._once(learner.name, seed, once)

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


def described(out: Path, seed: int) -> Path:
    """Folder of what the teachers of a seed make of the training boxes, and of their class centres."""
    return out / CENTRES.replace(" ", "_") / f"seed_{seed}"


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
