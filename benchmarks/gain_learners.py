"""The learners of a study of benchmarks/distillation_gain.py: what each trains, and whether they can be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gain_report import TEACHER

from engine.experiment import load_experiment
from engine.tasks import TASKS, task_of
from errors import InputError


@dataclass(frozen=True)
class Learner:
    """A network that is trained with every seed.

    Attributes:
        name: as in the table.
        cfg: the checked config.
        base: the same without the changes that the command line names.
        seeds: with how many it is trained; None for as many as --seeds says.
    """

    name: str
    cfg: dict[str, Any]
    base: dict[str, Any]
    seeds: int | None = None

    @classmethod
    def parse(cls, text: str, options: Sequence[str] = ()) -> Learner:
        """From [N*]CONFIG[:KEY=VALUE,...]; `options` are config entries of every learner."""
        seeds, config, rest = re.fullmatch(r"(?:(\d+)\*)?([^:]*):?(.*)", text).groups()
        changes = [change for change in re.split(r",(?=[\w.]+=)", rest) if change]
        paths = [change if "." in change.split("=")[0] else f"distiller.{change}" for change in changes]
        base = load_experiment(config, options).config
        cfg = load_experiment(config, [*options, *paths]).config
        return cls(" ".join([Path(config).stem, *changes]).replace("'", ""), cfg, base, seeds and int(seeds))

    @property
    def folder(self) -> str:
        """A name for its files."""
        return re.sub(r"[^\w.=-]+", "_", self.name)


def teachers_of(learner: Learner) -> list[dict[str, Any]]:
    """Its teachers, whatever checkpoints they name."""
    entries = learner.cfg.get("distiller", {}).get("teachers", [])
    return [{key: value for key, value in entry.items() if key != "checkpoint"} for entry in entries]


def teacher_of(learner: Learner) -> Learner:
    """The teacher of a learner, with its data; InputError if it is scored in another way."""
    [entry], own = teachers_of(learner), learner.cfg
    cfg = load_experiment(entry["config"], [f"data.root={own['data']['root']}", *entry.get("cfg_options", ())]).config
    for name, given, other in (
        ("data.test", cfg["data"].get("test"), own["data"].get("test")),
        ("test_cfg", cfg.get("test_cfg"), own.get("test_cfg")),
    ):
        if given != other:
            raise InputError(f"{entry['config']}: the teacher is scored by another {name} than its students")
    return Learner(TEACHER, cfg, cfg)


def check_comparable(learner: Learner, first: Learner, taught: Learner | None) -> None:
    """InputError unless two learners differ only in what is named, and can be scored."""
    if "distiller" not in learner.cfg and learner.cfg == learner.base:
        raise InputError(f"{learner.name}: has no distiller; the student alone is added by itself")
    if learner.cfg["data"].get("test") is None or task_of(learner.cfg) is not TASKS["text"]:
        raise InputError(f"{learner.name}: a study takes text detectors with a data.test to score them on")
    for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
        if learner.base.get(section) != first.base.get(section):
            raise InputError(
                f"{learner.name}: another '{section}' than {first.name}; only distillers may differ, and what is named "
                "after the config"
            )
    if teachers_of(learner) and (len(teachers_of(learner)) != 1 or teachers_of(learner) != teachers_of(taught)):
        raise InputError(f"{learner.name}: a study has one teacher, the same for all learners")
