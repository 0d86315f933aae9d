"""How good and how fast the detectors of weights/ are:  python benchmarks/released.py --cfg-options data.root=PATH

Scores each exported file on the test split of --config, here the 100 training images of ICDAR2015 that the files were
not trained with, at the file's own thresholds and under the official rule, in openvino, once for each --short-side.
The interval is over images (95 %, bootstrap). Milliseconds and CPU time are of the network alone, for one image of
720x1280 scaled to that short side, medians of 20.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import ROOT, machine

from command_line import Parser, run
from engine.experiment import load_experiment
from engine.inference import Predictor
from engine.inference.quantise import score
from engine.report.comparison import LEVEL, RESAMPLES, SEED, Results, pooled_hmean
from eval.files import write_json
from files import file_sha256

NAMES = ("min_score", "min_area", "min_text", "min_kernel")
CONFIG = "config/light/m_ic15.py"
SIZE, RUNS = (720, 1280), 20
_SCORES = ("precision", "recall", "hmean")
_COLUMNS = ("file", "MB", "images", "short side", *NAMES, *_SCORES, f"{LEVEL:.0%} interval", "ms", "CPU ms")


def measure(path: Path, config: str, options: list[str], most: int, short_side: int | None = None) -> dict[str, Any]:
    """One row of the table, and the SHA-256 of the file; `short_side` None for the file's own."""
    predictor = Predictor.load(path, "openvino", short_side=short_side)
    thresholds = [f"test_cfg.{name}={getattr(predictor, name)}" for name in NAMES]
    split = ["data.train.split=train_part", "data.test.split=validation"]
    short_size = f"data.test.short_size={predictor.short_side}"
    cfg = load_experiment(config, [*split, *thresholds, short_size, *options])
    found = score(path, cfg, most)
    counts = Results(path.name, found, None, None).counts()
    drawn = np.random.default_rng(SEED).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    ends = np.quantile(pooled_hmean(drawn @ counts), (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
    image = np.random.default_rng(SEED).normal(size=(1, 3, *predictor.network_size(SIZE))).astype(np.float32)
    predictor.network(image)
    wall, cpu = [], []
    for _ in range(RUNS):
        start = time.perf_counter(), time.process_time()
        predictor.network(image)
        wall.append(1000 * (time.perf_counter() - start[0]))
        cpu.append(1000 * (time.process_time() - start[1]))
    return {
        "file": path.name,
        "sha256": file_sha256(path),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "images": len(counts),
        "short_side": predictor.short_side,
        **{name: getattr(predictor, name) for name in NAMES},
        **{name: found[name] for name in ("protocol", "variant", "precision", "recall", "hmean")},
        "interval": ends.tolist(),
        "milliseconds": statistics.median(wall),
        "cpu_milliseconds": statistics.median(cpu),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS)]
    for row in rows:
        scores = [f"{100 * row[name]:.1f}" for name in _SCORES]
        ends = " to ".join(f"{100 * end:.1f}" for end in row["interval"])
        times = [f"{row[name]:.0f}" for name in ("milliseconds", "cpu_milliseconds")]
        counts = [f"{row['megabytes']:.1f}", *(str(row[name]) for name in ("images", "short_side", *NAMES))]
        lines.append([f"`{row['file']}`", *counts, *scores, ends, *times])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(args: argparse.Namespace) -> None:
    """Measures, prints, and writes the JSON file."""
    files = args.files or sorted((ROOT / "weights").glob("*.onnx"))
    sides = args.short_side or [None]
    rows = [measure(path, args.config, args.cfg_options, args.max_steps, side) for path in files for side in sides]
    print(table(rows))
    if args.out:
        write_json(args.out, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: all of weights/")
    parser.add_argument("--config", default=CONFIG, help="whose data.test to score on (default %(default)s)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="of the config")
    parser.add_argument("--short-side", nargs="+", type=int, metavar="N", help="default: each file's own")
    parser.add_argument("--max-steps", type=int, default=-1, metavar="N", help="the first N images only")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, too")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
