"""Tests every checkpoint of a folder:  python batch_eval.py config/kkd/r18_ctw.py [FOLDER]"""

import argparse
from pathlib import Path

from errors import end_on_signals, say

end_on_signals("interrupted; what is scored is kept")  # before the imports, which take seconds

import torch
from rich.progress import track

from engine import cli
from engine.experiment import Experiment
from engine.inference.batch_eval import evaluate_folder, write_summary
from engine.inference.evaluator import Evaluator
from engine.outputs import data_places
from engine.precision import check_precision, resolve_device
from engine.report.analysis import Analysis, predict_everything, require_text
from engine.report.page import check_page
from engine.report.text import split_name, write_report


def main(args: argparse.Namespace) -> None:
    cfg = cli.load(args)
    device = resolve_device(args.device)
    check_precision(args.precision, device)
    cli.check_counts(args)
    folder = Path(args.folder or Path("work_dirs") / cli.run_name(args.config))
    work_dir = Path(args.work_dir or folder / "batch_eval")
    if args.report:
        require_text(cfg.task, "--report")
        check_page("--report", args.report, [*data_places(cfg.data), args.config])
    rows = evaluate_folder(cfg, folder, work_dir, device, args.precision, args.max_steps, args.batch_size)
    write_summary(rows, cfg.task, work_dir)
    if args.report:
        write_best(args, cfg, folder, rows, device)


def write_best(args: argparse.Namespace, cfg: Experiment, folder: Path, rows: list[dict], device: torch.device) -> None:
    """Writes the page on all checkpoints, and in detail on the best, whose detections of any score are found anew."""

    def progress(items, total):
        return track(items, "report", total)

    checkpoint = folder / max(rows, key=lambda row: row["hmean"])["checkpoint"]
    predictor, about = Evaluator.of(cfg, checkpoint, device, args.precision, args.batch_size)
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    images = range(len(dataset))[: args.max_steps if args.max_steps > 0 else None]
    everything = predict_everything(predictor, dataset, images, progress)
    analysis = Analysis(dataset.parser.ground_truth, cfg.test_cfg, everything)
    tested = {"checkpoint": str(checkpoint), "epoch": about.get("epoch"), "config": str(args.config)}
    tested["split"] = split_name(cfg.config["data"]["test"])
    write_report(args.report, analysis, predictor, dataset, tested, args.report_images, rows, progress)
    say(f"report: {args.report}")


if __name__ == "__main__":
    parser = cli.parser(__doc__, default="FOLDER/batch_eval")
    parser.add_argument("config", help="the config that the checkpoints were trained with")
    parser.add_argument("folder", nargs="?", help="default: work_dirs/CONFIG")
    cli.testing_options(parser)
    cli.run(main, parser)
