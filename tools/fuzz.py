"""Feeds damaged files to every reader of annotations, results and images: `make fuzz`.

Each input must be read, or refused by an error that is one line, within a time and an amount of memory. What is
not is written to the folder given, and the program ends with code 1. An input is the same for the same kind and seed.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ThreadPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from errors import InputError
from tools.support.fuzz_damage import damaged
from tools.support.fuzz_inputs import Target, targets

_CHUNK = 500
_GRACE = 10  # times the limit that a process may take that does not answer to the timer


class _TooLong(BaseException):
    """Raised by the timer; no reader catches it."""


@dataclass
class Tally:
    """Outcomes of the inputs of one kind.

    Attributes:
        inputs, accepted: how many there were, and how many were read.
        slowest: seconds.
        findings: seed -> what is wrong.
    """

    inputs: int = 0
    accepted: int = 0
    slowest: float = 0.0
    findings: dict[int, str] = field(default_factory=dict)


def check(target: Target, seed: int, folder: Path, seconds: float) -> tuple[bool, str]:
    """Feeds one input; whether it was accepted, and what is wrong, or nothing.

    Args:
        folder: for the file; what `prepare` writes is there.
        seconds: limit, where the system has timers.
    """
    path = folder / target.name
    path.write_bytes(damaged(target, seed))
    try:
        with _time_limit(seconds):
            target.read(path)
    except InputError as error:
        text = str(error)
        return False, "" if len(text.splitlines()) == 1 else f"a message of {len(text.splitlines())} lines: {text!r}"
    except _TooLong:
        return False, f"took more than {seconds} s:\n{traceback.format_exc()}"
    except Exception:
        return False, traceback.format_exc()
    return True, ""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _work(name: str, seeds: range, seconds: float, megabytes: int, out: Connection) -> None:
    """One process: sends (seed, None) before an input, and (seed, accepted, what is wrong, seconds) after it."""
    logging.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries print
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "input"
        folder.mkdir()
        target = targets(Path(place))[name]
        target.prepare(folder)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20),) * 2)
        for seed in seeds:
            out.send((seed, None))
            start = time.perf_counter()
            accepted, wrong = check(target, seed, folder, seconds)
            out.send((seed, accepted, wrong, time.perf_counter() - start))


def run_kind(name: str, seeds: range, seconds: float, megabytes: int, tally: Tally) -> None:
    """Feeds inputs in a process of their own, and in another from the next on when that one dies or hangs."""
    context = multiprocessing.get_context("fork")
    while seeds:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(name, seeds, seconds, megabytes, there))
        process.start()
        there.close()
        seed, what = seeds.start - 1, "before the first input"
        while wait([here], _GRACE * seconds):
            try:
                message = here.recv()
            except EOFError:
                break
            seed = message[0]
            what = "" if message[1] is not None else f"during input {seed}"
            if message[1] is not None:
                _count(tally, *message)
        else:
            what = f"no answer {what}"
        process.kill()
        process.join()
        if what:
            tally.findings[seed] = f"the process ended or hung (exit code {process.exitcode}), {what}"
            tally.inputs += 1
        seeds = range(seed + 1, seeds.stop)


def _count(tally: Tally, seed: int, accepted: bool, wrong: str, seconds: float) -> None:
    tally.inputs += 1
    tally.accepted += accepted
    tally.slowest = max(tally.slowest, seconds)
    if wrong:
        tally.findings[seed] = wrong


def _job(job: tuple[str, range, float, int]) -> tuple[str, Tally]:
    name, seeds, seconds, megabytes = job
    tally = Tally()
    run_kind(name, seeds, seconds, megabytes, tally)
    return name, tally


def run(args: argparse.Namespace) -> int:
    """Feeds all inputs, prints a table, writes the findings; the exit code."""
    with tempfile.TemporaryDirectory() as place:
        kinds = targets(Path(place))
    names = args.kinds or list(kinds)
    share = -(-args.count // len(names))
    end = args.seed + share
    chunks = [range(start, min(start + _CHUNK, end)) for start in range(args.seed, end, _CHUNK)]
    jobs = [(name, chunk, args.seconds, args.megabytes) for chunk in chunks for name in names]
    tallies = {name: Tally() for name in names}
    with ThreadPool(args.jobs) as pool:  # of threads: each only waits for the process that it started
        for name, found in pool.imap_unordered(_job, jobs):
            tally = tallies[name]
            tally.inputs += found.inputs
            tally.accepted += found.accepted
            tally.slowest = max(tally.slowest, found.slowest)
            tally.findings |= found.findings
    print(f"{'kind':<20} {'inputs':>8} {'read':>8} {'slowest s':>10} {'findings':>9}")
    for name, tally in tallies.items():
        print(f"{name:<20} {tally.inputs:>8} {tally.accepted:>8} {tally.slowest:>10.2f} {len(tally.findings):>9}")
    for name, tally in tallies.items():
        for seed, wrong in sorted(tally.findings.items()):
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{name}-{seed}.input").write_bytes(damaged(kinds[name], seed))
            (args.out / f"{name}-{seed}.txt").write_text(wrong)
        if tally.findings:
            seed, wrong = min(tally.findings.items())
            print(f"{name}, seed {seed}: {wrong.strip().splitlines()[-1]} ({args.out / f'{name}-{seed}.txt'})")
    return int(any(tally.findings for tally in tallies.values()))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, metavar="N", help="inputs, of all kinds (default 100000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first input of each kind (default 0)")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="such as coco and zip (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes (default: all cores)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="limit of an input (default 2)")
    parser.add_argument("--megabytes", type=int, default=500, metavar="N", help="limit of an input (default 500)")
    parser.add_argument("--out", type=Path, default=Path("outputs/fuzz"), metavar="DIR", help="for the findings")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run(parse_args()))
