"""The whole job on the embedded default: data, teacher, distilled student, test on unseen images, report.

python tools/demo.py writes outputs/demo/report.html and summary.json. What an earlier call has finished is not done
again; delete outputs/demo to start over.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals("interrupted; `make demo` goes on from here")

from command_line import Parser
from engine.precision import fastest_precision
from eval.files import write_json
from tools.demo.steps import LAST, Steps, demo_parser, run_demo, small_options
from tools.demo.text_report import write_report

CONFIGS = {"teacher": "config/demo/r50.py", "student": "config/demo/distill_r18.py"}
DATA = ["--train", 800, "--test", 100, "--size", "192x192", "--style", "easy", "--seed", 0]
SMALL_DATA = ["--train", 8, "--test", 2, "--size", "96x96", "--style", "easy", "--seed", 0]
SMALL = [f"data.{key}=96" for key in ("train.img_size", "train.short_size", "test.short_size")]


def parser() -> Parser:
    """The command line."""
    return demo_parser(__doc__, "outputs/demo")


def main(args: argparse.Namespace) -> None:
    out, precision = args.out, ["--precision", fastest_precision()]
    common = small_options(out, SMALL) if args.small else []
    options = {"teacher": common, "student": [*common, f"distiller.teachers.0.checkpoint={out / 'teacher' / LAST}"]}
    steps = Steps(out, 5, CONFIGS, options)
    root = steps.configs["teacher"].data.root
    render = ["tools/make_synthetic.py", root, *(SMALL_DATA if args.small else DATA), "--workers", 2, "--overwrite"]
    steps.run(
        "data", f"rendering synthetic images with curved text into {root}", Path(root) / "synthetic.json", *render
    )
    steps.train("teacher", "training the teacher", "train.py", *precision)
    steps.train("student", "distilling a student from it", "knowledge_distillation_train.py", *precision)
    summary = {}
    for name in CONFIGS:
        results = steps.test(name, f"testing the {name} on unseen images")
        summary[name] = {key: results[key] for key in ("precision", "recall", "hmean")}
    summary["seconds"] = {**steps.seconds, "total": round(sum(steps.seconds.values()), 1)}
    write_json(out / "summary.json", summary)
    write_report(out, summary, steps.configs)
    print(f"\nteacher hmean {summary['teacher']['hmean']:.4f}, student hmean {summary['student']['hmean']:.4f}")
    print(f"{out / 'report.html'}   {out / 'summary.json'}")


if __name__ == "__main__":
    run_demo(main, parser())
