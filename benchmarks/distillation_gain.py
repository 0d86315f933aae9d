"""What distillation buys: one student, with equal data, steps and seeds, alone and with each learner that is named.

    python benchmarks/distillation_gain.py config/study/kkd.py config/study/kkd.py:weight=100 config/study/cwd.py
    python benchmarks/distillation_gain.py @benchmarks/studies/light.txt --teacher weights/light_l_icdar2015.pth.tar

A learner is CONFIG, or CONFIG:KEY=VALUE,... with entries that differ: KEY is one of its distiller, or the path of any
other (`loss.dense_weight`). Nothing but the distiller and what is so named may differ between learners. N*CONFIG trains
it with N seeds instead of --seeds, and @FILE reads a list of learners, one a line. Learners without a distiller are
students alone, trained in another way; the first of them with another loss is the control, which the others are
compared with, too. The student alone is added: the first config without its distiller. Teachers are trained from the
configs that the learners name as theirs, one for each seed, with --teachers N such that the seeds share N of them in
turn, unless --teacher FILE is one that is trained; where learners read class centres, these are made. What is scored is
the last epoch, on the test split (gain_measure.py).

Writes results.json, results.md and differences.png. A run that is finished is not run again and an interrupted one goes
on, so a study can be stopped at any time, and widened by more seeds or more learners. With --known FILE, the
results.json of another machine, the runs that it holds are not run again either.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path

from gain_report import ALONE, read_runs, table, write_plot
from gain_study import Study
from harness import machine

from command_line import Parser
from engine.cli import run_name
from engine.precision import PRECISIONS, fastest_precision
from errors import InputError, exit_code
from eval.files import write_json
from files import write_aside


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    threads = None if args.jobs == 1 else max(1, machine()["cores"] // args.jobs)
    known = [run for path in args.known for run in read_runs(path)[0]]
    place = args.out, args.precision, args.device, threads
    options = args.cfg_options, args.teacher_options
    study = Study(args.learners, *place, args.teachers, args.teacher, *options, known)
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
        "--teacher-options", nargs="+", default=[], metavar="KEY=VALUE", help="entries of the teachers' configs"
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
