"""The learners of a study of benchmarks/distillation_gain.py: what each trains, and whether they can be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gain_report import TEACHER

from engine.experiment import load_experiment
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
    def parse(cls, text: str, options: Sequence[str] = (), of_teachers: Sequence[str] = ()) -> Learner:
        """From [N*]CONFIG[:KEY=VALUE,...]; config entries: `options` of all learners, `of_teachers` of theirs."""
        seeds, config, rest = re.fullmatch(r"(?:(\d+)\*)?([^:]*):?(.*)", text).groups()
        changes = [change for change in re.split(r",(?=[\w.]+=)", rest) if change]
        paths = [change if "." in change.split("=")[0] else f"distiller.{change}" for change in changes]
        base = load_experiment(config, options).config
        cfg = load_experiment(config, [*options, *paths]).config
        learner = cls(" ".join([Path(config).stem, *changes]).replace("'", ""), cfg, base, seeds and int(seeds))
        for entry in entries_of(learner) if of_teachers else ():
            entry["cfg_options"] = [*entry.get("cfg_options", ()), *of_teachers]
        return learner

    @property
    def folder(self) -> str:
        """A name for its files."""
        return re.sub(r"[^\w.=-]+", "_", self.name)


def entries_of(learner: Learner) -> list[dict[str, Any]]:
    """What its config says of its teachers."""
    return learner.cfg.get("distiller", {}).get("teachers", [])


def needs_centres(learner: Learner) -> bool:
    """True if it reads class centres of its teachers."""
    return any("centers" in entry for entry in entries_of(learner))


class Teachers:
    """All teachers of a study's learners, each once, in the order in which they are named.

    Attributes:
        learners: they as networks to train, named `teacher`, or `teacher 1` and so on where there are several.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self._configs: list[dict[str, Any]] = []
        for cfg in (_config(entry, learner) for learner in learners for entry in entries_of(learner)):
            if cfg not in self._configs:
                self._configs.append(cfg)
        names = [TEACHER] if len(self._configs) == 1 else [f"{TEACHER} {i}" for i in range(1, len(self._configs) + 1)]
        self.learners = [Learner(name, cfg, cfg) for name, cfg in zip(names, self._configs)]

    def of(self, learner: Learner) -> list[Learner]:
        """The teachers of a learner, in its order."""
        return [self.learners[self._configs.index(_config(entry, learner))] for entry in entries_of(learner)]


def _config(entry: dict[str, Any], learner: Learner) -> dict[str, Any]:
    """Config of a learner's teacher, with its data; InputError if it is scored in another way."""
    own = learner.cfg
    cfg = load_experiment(entry["config"], [f"data.root={own['data']['root']}", *entry.get("cfg_options", ())]).config
    for name, given, other in (
        ("data.test", cfg["data"].get("test"), own["data"].get("test")),
        ("test_cfg", cfg.get("test_cfg"), own.get("test_cfg")),
    ):
        if given != other:
            raise InputError(f"{entry['config']}: the teacher is scored by another {name} than its students")
    return cfg


def check_comparable(learner: Learner, first: Learner) -> None:
    """InputError unless two learners differ only in what is named, and can be scored."""
    if "distiller" not in learner.cfg and learner.cfg == learner.base:
        raise InputError(f"{learner.name}: has no distiller; the student alone is added by itself")
    if learner.cfg["data"].get("test") is None:
        raise InputError(f"{learner.name}: has no data.test to be scored on")
    for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
        if learner.base.get(section) != first.base.get(section):
            raise InputError(
                f"{learner.name}: another '{section}' than {first.name}; only distillers may differ, and what is named "
                "after the config"
            )
