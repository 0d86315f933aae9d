"""Chooses the thresholds that a text detector is read with:  python tools/calibrate.py CONFIG CHECKPOINT OUT.pth.tar

Scores the images of data.test with every min_text and min_kernel of 0.5, 0.7, 0.8 and 0.9 and every min_score, from one
pass of the network; then, with the best pair, every min_score with larger values of min_area than that of the config.
Writes a copy of the checkpoint whose config has the best: predict.py and export.py use them.
Choose on images that no score is reported of, such as some of those that it was trained with (ICDAR2015:
--cfg-options data.test.split=train_part --max-steps 100).
"""

from __future__ import annotations

import argparse
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

import eval
from command_line import Parser, run
from engine.experiment import load_experiment
from engine.files import write_tensors
from engine.inference.evaluator import Evaluator
from engine.precision import PRECISIONS, resolve_device
from engine.report.analysis import require_text
from engine.report.calibration import AREAS, INSTANCES, output_maps, reading, readings
from errors import InputError, say
from files import check_output
from models.weights import read_checkpoint
from post_processing import Detection

NAMES = ("min_text", "min_kernel", "min_area", "min_score")
SCORES = ("precision", "recall", "hmean")
BY_HMEAN = itemgetter("hmean")


def main(args: argparse.Namespace) -> None:
    """Measures, prints, writes."""
    if not (args.max_steps == -1 or args.max_steps > 0):
        raise InputError(f"--max-steps {args.max_steps}: expected 1 or more images, or -1 for all")
    check_output("OUT", args.out, [args.checkpoint], folder=False)
    cfg = load_experiment(args.config, args.cfg_options)
    require_text(cfg.task, "this tool")
    settings = cfg.test_cfg
    dataset = cfg.task.test_set(cfg.data.test, settings)
    detector, _ = Evaluator.of(cfg, args.checkpoint, resolve_device(args.device), args.precision, 1)
    outputs = output_maps(detector, dataset, range(len(dataset))[: args.max_steps if args.max_steps > 0 else None])
    truth = eval.PROTOCOLS[settings.protocol].read_ground_truth(dataset.parser.ground_truth)
    truth = {name: truth[name] for name in outputs}
    maps = detector.detector.head.maps

    def best_of(found: dict[str, list[Detection]], *values: float) -> dict[str, Any]:
        """The row of the best min_score, of detections with these values of the other thresholds."""
        rows = eval.sweep(settings.protocol, truth, found, INSTANCES, settings.variant)
        return {**max(rows, key=BY_HMEAN), **dict(zip(NAMES, values))}

    rows = [best_of(found, *pair, settings.min_area) for pair, found in readings(outputs, maps, settings)]
    best_usual, best = rows[0], max(rows, key=BY_HMEAN)
    pixels = {name: best[name] for name in NAMES[:2]}
    for area in (area for area in AREAS if area > settings.min_area):
        rows.append(best_of(reading(outputs, maps, settings, **pixels, min_area=area), *pixels.values(), area))
    best = max(rows, key=BY_HMEAN)
    print("  ".join(f"{name:>10}" for name in (*NAMES, *SCORES)))
    for row in (best_usual, best):
        print("  ".join(f"{row[name]:10.4f}" for name in (*NAMES, *SCORES)))
    if not best["hmean"]:
        raise InputError(f"{args.checkpoint}: finds no text in {len(outputs)} images; nothing to choose")
    content = read_checkpoint(args.checkpoint)
    chosen = {name: best[name] for name in NAMES}
    config = content.get("config") or cfg.config
    content["config"] = {**config, "test_cfg": {**config.get("test_cfg", {}), **chosen}}
    write_tensors(args.out, content)
    say(f"written: {args.out}, with the best of {len(outputs)} images")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="whose data.test to choose on")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("out", type=Path, metavar="OUT.pth.tar")
    parser.add_argument("--max-steps", type=int, default=-1, metavar="N", help="take the first N images")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="of the config")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", choices=list(PRECISIONS), default="32")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
