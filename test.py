"""Tests one checkpoint:  python test.py config/kkd/r18_ctw.py checkpoints/checkpoint.pth.tar"""

import argparse
from functools import partial
from pathlib import Path

from errors import end_on_signals, say

end_on_signals()  # before the imports, which take seconds

from rich.progress import track

from engine import cli
from engine.compiling import compile_networks
from engine.inference.evaluator import Evaluator
from engine.inference.speed import measure_speed, speed_table
from engine.outputs import data_places
from engine.precision import check_precision, resolve_device
from engine.report.analysis import Analysis, at_least, predict_everything, require_text
from engine.report.page import check_page
from engine.report.text import split_name, sweep_lines, write_report
from engine.visualise import check_pictures
from eval.files import write_json
from files import check_output

SCORES = "results.json"


def main(args: argparse.Namespace) -> None:
    cfg = cli.load(args)
    device = resolve_device(args.device)
    check_precision(args.precision, device)
    cli.check_counts(args)
    task, settings = cfg.task, cfg.test_cfg
    analysed = "--report" if args.report else "--sweep" if args.sweep else None
    if analysed:
        require_text(task, analysed)
    folder = Path(args.work_dir or Path("work_dirs") / cli.run_name(args.config))
    result_path = folder / Path(settings.result_path).name if args.work_dir else Path(settings.result_path)
    predictor, about = Evaluator.of(cfg, args.checkpoint, device, args.precision, args.batch_size)
    compile_networks([predictor.detector], args.compile)
    dataset = task.test_set(cfg.data.test, settings)
    data = data_places(cfg.data, dataset)
    check_output("--work-dir", folder, data)
    check_output("--work-dir", folder / SCORES, folder=False)
    if args.vis:
        check_output("--vis", args.vis, data)
        check_pictures("--vis", Path(args.vis))
    if args.report:
        check_page("--report", args.report, [*data, args.checkpoint, args.config])
    task.check_result_path("test_cfg.result_path", result_path, data)
    count = len(dataset) if args.max_steps < 0 else min(args.max_steps, len(dataset))

    def progress(items, total, what=f"testing on {device.type}"):
        return track(items, what, total)

    if analysed:  # one pass of the network for all thresholds
        everything = predict_everything(predictor, dataset, range(count), progress)
        results = at_least(everything, settings.min_score)
    else:
        results = predictor.predict(dataset, range(count), progress)
    summary = predictor.evaluate(dataset, results, result_path)
    say(task.table(summary))
    if not task.count(results):
        print(task.highest(predictor, dataset))
    for line in dataset.issues.summary():
        say(line)
    tested = {"checkpoint": str(args.checkpoint), "epoch": about.get("epoch"), "config": str(args.config)}
    labels = getattr(dataset, "parser", dataset).ground_truth
    summary |= tested | {"result_path": str(result_path), "labels": str(labels)}
    if analysed:
        analysis, split = Analysis(labels, settings, everything), split_name(cfg.config["data"]["test"])
        summary["sweep"] = {"split": split, "best": analysis.best, "thresholds": analysis.sweep}
        say(sweep_lines(analysis.sweep, analysis.best, settings.min_score, split))
    if args.report_speed:
        how = {"device": device.type} | {key: getattr(predictor, key) for key in ("precision", "batch_size", "workers")}
        print("speed: " + ", ".join(f"{name} {value}" for name, value in how.items()))
        summary["speed"] = measure_speed(predictor, dataset, range(count))
        print(speed_table(summary["speed"]))
        summary["speed_settings"] = how
    write_json(folder / SCORES, summary)
    say(f"result files: {result_path}   scores: {folder / SCORES}")
    if args.vis:
        task.save_pictures(Path(args.vis), dataset, range(count), results)
        say(f"pictures: {args.vis} (green ground truth, red detections)")
    if args.report:
        about = tested | {"split": split}
        write_report(
            args.report, analysis, predictor, dataset, about, args.report_images, track=partial(progress, what="report")
        )
        say(f"report: {args.report}")


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("config", help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", help="a file such as work_dirs/kkd_r18_ctw/checkpoint_best.pth.tar")
    cli.compile_option(parser)
    parser.add_argument("--vis", metavar="DIR", help="write pictures of the detections there")
    parser.add_argument(
        "--report-speed",
        action="store_true",
        help="also time each step, and all together over all images",
    )
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="also score every min_score from 0 to 0.99 by one pass of the network, and name the best; choose a "
        "threshold on a validation split (--cfg-options data.test.split=...), as it is optimistic where it is chosen",
    )
    cli.testing_options(parser)
    cli.run(main, parser)
