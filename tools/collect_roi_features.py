"""Stage 1 of multi-neck distillation: what each teacher makes of every ground-truth box of the training images.

python tools/collect_roi_features.py CONFIG writes roi_features_teacherN.npz into the folder of the run, for each of the
teachers. A collection that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals("interrupted; the same command goes on")

from distillation.multineck.feature_files import read_features
from engine import cli
from engine.files import lock_file
from engine.inference.parallel import worker_count
from engine.outputs import data_places
from engine.precision import check_precision, resolve_device
from engine.tasks import TASKS
from engine.training.stages import collect, features_path, provenance
from engine.training.teachers import load_teacher
from errors import InputError
from files import check_output

EVERY = 15.0  # seconds between two lines of progress


def main(args: argparse.Namespace) -> None:
    cfg = cli.load(args)
    device = resolve_device(args.device)
    check_precision(args.precision, device)
    cli.check_counts(args)
    if cfg.distiller is None or cfg.task is not TASKS["objects"]:
        raise InputError(f"{args.config}: distils no object detector; use a config such as those of config/multineck")
    dataset = cfg.task.train_set(cfg.data.train, seed=0)
    folder = Path(args.work_dir or Path("work_dirs") / cli.run_name(args.config))
    check_output("--out", folder, data_places(cfg.data, dataset))
    # All teachers are loaded before the first pass, so that a mistake shows now and not after hours.
    for teacher in [load_teacher(cfg, n, dataset) for n in numbers(args.teacher, len(cfg.distiller.teachers))]:
        path = features_path(folder, teacher.number)
        with lock_file(path):
            if path.is_file():
                remedy = "remove the file to collect anew, or give another --out"
                made = provenance(cfg, teacher, dataset, args.precision)
                read_features(path).provenance.match(made, path, remedy)
                print(f"{path}: already complete; nothing to do")
                continue
            track = partial(progress_lines, f"teacher {teacher.number}")
            workers = worker_count(cfg.data.num_workers)
            done = collect(cfg, teacher, dataset, path, device, args.precision, args.max_steps, workers, track)
            print(f"{path}: {'complete' if done else 'not complete yet; the same command goes on'}")


def numbers(chosen: str, teachers: int) -> Iterable[int]:
    """Numbers, from 1, of the teachers that `--teacher` selects."""
    if chosen == "all":
        return range(1, teachers + 1)
    if chosen not in map(str, range(1, teachers + 1)):
        raise InputError(f"--teacher {chosen}: expected 'all', or a number from 1 to {teachers}")
    return [int(chosen)]


def progress_lines(label: str, items: Iterable, total: int) -> Iterator:
    """Yields the items, and prints how far they are every few seconds."""
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= EVERY or done == total:
            rate, shown = done / (now - start), now
            left = timedelta(seconds=round((total - done) / rate))
            print(f"{label}: {done} of {total} images, {rate:.1f} images/s, eta {left}", flush=True)


if __name__ == "__main__":
    parser = cli.parser(__doc__, folder="--out")
    parser.add_argument(
        "config", help="a distillation config, such as config/multineck/faster_cascade_r101_to_faster_r50_coco.py"
    )
    parser.add_argument("--teacher", default="all", metavar="N", help="number of the teacher, from 1 (default: all)")
    parser.add_argument(
        "--max-steps", type=int, default=-1, metavar="N", help="stop after N images; the next call goes on"
    )
    cli.run(main, parser)
