"""What documents say of the studies of benchmarks/results, as the tests compare it."""

import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from gain_report import ALONE, Gain, gain, read_runs


def with_interval(found: Gain) -> str:
    """As the texts say it."""
    return "{:.1f} ({:.1f} to {:.1f})".format(found.mean, *found.seeds)


def gains(study: str, *learners: str, base: str = ALONE, score: str | None = None) -> list[Gain]:
    """Differences from `base` of each."""
    runs, _ = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    of = {name: [run for run in runs if run.learner == name] for name in (base, *learners)}
    return [gain(of[learner], of[base], score) for learner in learners]


def words(path: str) -> str:
    """A document as one line."""
    return " ".join((ROOT / path).read_text().split())
