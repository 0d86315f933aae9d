"""Times our work and a readable reference of it side by side, and says how both compare."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the project, and the references that the tests compare it with

_SLICE = 0.05  # seconds of our own runs in a round: enough that the clock and a short interruption do not matter


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: what was done, with its size.
        ours: median milliseconds, or another `unit`.
        reference: what it is compared with.
        reference_value: the same of that.
        ratio: median over the rounds of reference / ours, of times taken one right after the other.
        spread: smallest and largest of these ratios.
        rounds: how many.
        agreement: what was found equal, and how nearly.
        unit: 'ms' or 'MB'.
    """

    work: str
    ours: float
    reference: str
    reference_value: float
    ratio: float
    spread: tuple[float, float]
    rounds: int
    agreement: str
    unit: str = "ms"


def compare(
    work: str,
    ours: Callable[[], Any],
    reference: Callable[[], Any],
    check: Callable[[Any, Any], str],
    *,
    reference_name: str = "literal reference",
    seconds: float = 5.0,
    most_rounds: int = 50,
) -> Row:
    """Runs both in turn until the time is up, three rounds at least, after one run of each that is checked.

    Args:
        ours, reference: the work; both without arguments, returning what `check` looks at.
        check: gets both results, returns what it found equal; raises AssertionError where they differ.
        seconds: time to spend, the first runs not counted.
    """
    agreement = check(ours(), reference())
    start, rounds = time.perf_counter(), []
    while len(rounds) < 3 or (time.perf_counter() - start < seconds and len(rounds) < most_rounds):
        rounds.append((_milliseconds(ours, _SLICE), _milliseconds(reference, 0.0)))
    ratios = [slow / fast for fast, slow in rounds]
    fast, slow = (statistics.median(times) for times in zip(*rounds))
    spread = min(ratios), max(ratios)
    return Row(work, fast, reference_name, slow, statistics.median(ratios), spread, len(rounds), agreement)


def _milliseconds(run: Callable[[], Any], least: float) -> float:
    """Mean time of a run, over as many as fill `least` seconds."""
    runs, start = 0, time.perf_counter()
    while True:
        run()
        runs += 1
        elapsed = time.perf_counter() - start
        if elapsed >= least:
            return 1000 * elapsed / runs


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | ours | compared with | its value | ratio (spread) | rounds | agreement |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = f"{row.ratio:.3g} ({row.spread[0]:.3g} to {row.spread[1]:.3g})"
        cells = [
            row.work,
            _value(row.ours, row.unit),
            row.reference,
            _value(row.reference_value, row.unit),
            ratio,
            str(row.rounds),
            row.agreement,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _value(value: float, unit: str) -> str:
    larger = {"ms": "s", "MB": "GB"}[unit]
    return f"{value:.3g} {unit}" if value < 1000 else f"{value / 1000:.3g} {larger}"


def peak_memory() -> float:
    """Megabytes of the largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes; bytes on macOS
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def machine() -> dict[str, Any]:
    """Conditions of the figures: processor, cores, libraries, how busy the machine was."""
    import cv2
    import numpy as np
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    """The processor's name, and those of its features that decide how fast bfloat16 is."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    features = [name for name in ("avx512_bf16", "amx_bf16") if name in facts.get("flags", "").split()]
    return " ".join([facts.get("model name", platform.machine()), *(f"({name})" for name in features)])


def main(measure: Callable[[], Sequence[Row]], description: str) -> None:
    """The command line of a benchmark: prints its table; `--json FILE` also writes the rows."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args()
    rows = measure()
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
