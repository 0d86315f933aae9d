"""Multi-neck distillation on the embedded default: two teachers, their class centres, a student with and without them.

python tools/demo_multineck.py writes outputs/demo-multineck/report.html and summary.json. What an earlier call has
finished is not done again; delete outputs/demo-multineck to start over.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals("interrupted; `make demo-multineck` goes on from here")

from command_line import Parser
from engine.precision import fastest_precision
from engine.training.stages import centers_path, features_path
from eval.files import write_json
from tools.demo.multineck_report import FEATURES, PICTURES, comparison, write_report
from tools.demo.steps import LAST, Steps, demo_parser, run_demo, small_options

CONFIGS = {
    name: f"config/demo_multineck/{file}.py"
    for name, file in {
        "teacher1": "teacher1",
        "teacher2": "teacher2",
        "student_without_distillation": "student",
        "student": "distill",
    }.items()
}
DATA = ["--train", 460, "--val", 80, "--size", "128x128", "--style", "easy", "--seed", 0]
SMALL_DATA = ["--train", 8, "--val", 2, "--size", "64x64", "--style", "easy", "--seed", 0]
SMALL = ["data.train.short_sides=[64]", "data.test.short_side=64"]
SCORES = ("ap", "ap50", "ap75")


def parser() -> Parser:
    """The command line."""
    return demo_parser(__doc__, "outputs/demo-multineck")


def main(args: argparse.Namespace) -> None:
    out, precision = args.out, ["--precision", fastest_precision()]
    common = small_options(out, SMALL) if args.small else []
    described = out / FEATURES
    features = [features_path(described, number) for number in (1, 2)]
    options = {name: [*common] for name in CONFIGS}
    for index, path in enumerate(features):
        field = f"distiller.teachers.{index}"
        options["student"] += [f"{field}.checkpoint={out / f'teacher{index + 1}' / LAST}"]
        options["student"] += [f"{field}.centers={centers_path(path)}"]
    steps = Steps(out, 11, CONFIGS, options)
    root = steps.configs["student"].data.root
    render = ["tools/make_synthetic_coco.py", root, *(SMALL_DATA if args.small else DATA), "--overwrite"]
    steps.run("data", f"rendering synthetic shapes into {root}", Path(root) / "synthetic.json", *render)
    steps.train("teacher1", "training the first teacher, Faster R-CNN", "train.py", *precision)
    steps.train("teacher2", "training the second teacher, Cascade Mask R-CNN", "train.py", *precision)
    describe = ["tools/collect_roi_features.py", CONFIGS["student"], "--out", described]
    collect = [*describe, "--cfg-options", *options["student"]]
    steps.run("collect", "describing every training box by both teachers", features[-1], *collect)
    fit = ["tools/fit_centers.py", *features]
    steps.run("centers", "fitting the class centres", centers_path(features[-1]), *fit)
    distil = "knowledge_distillation_train.py"
    steps.train("student", "distilling a student with a multi-neck from both", distil, *precision)
    alone = "student_without_distillation"
    steps.train(alone, "training the same student without distillation", "train.py", *precision)
    summary = {}
    for name in CONFIGS:
        what = f"testing the {name.replace('_', ' ')} on unseen images"
        results = steps.test(name, what, "--vis", out / f"{name}_test" / PICTURES)
        summary[name] = {key: results[key] for key in SCORES}
    summary["conclusion"] = comparison(summary)
    summary["seconds"] = {**steps.seconds, "total": round(sum(steps.seconds.values()), 1)}
    write_json(out / "summary.json", summary)
    write_report(out, summary, steps.configs)
    print("\n" + ", ".join(f"{name.replace('_', ' ')} AP {summary[name]['ap']:.4f}" for name in CONFIGS))
    print(summary["conclusion"])
    print(f"{out / 'report.html'}   {out / 'summary.json'}")


if __name__ == "__main__":
    run_demo(main, parser())
