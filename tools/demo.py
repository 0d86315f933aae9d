"""The whole job on the embedded default: data, teacher, student distilled and alone, test, export, prediction, report.

python tools/demo.py writes outputs/demo/report.html and summary.json. What an earlier call has finished is not done
again; delete outputs/demo to start over. Without the packages of requirement-export.txt nothing is exported: the last
step predicts with the checkpoint, and not with the trained detector of weights/, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals("interrupted; `make demo` goes on from here")

import torch

from command_line import Parser
from engine.inference import Predictor
from engine.inference.export import PACKAGES
from engine.inference.runtimes import RUNTIMES
from engine.precision import fastest_precision
from eval.files import write_json
from tools.demo.steps import LAST, Steps, demo_parser, run_demo, small_options
from tools.demo.text_measure import measure, parameters, render_picture
from tools.demo.text_report import conclusion, distillation_gain, write_report

CONFIGS = {
    "teacher": "config/demo/teacher.py",
    "student_alone": "config/demo/student.py",
    "student": "config/demo/distill.py",
}
WHAT = {
    "teacher": "training the teacher",
    "student_alone": "training the student alone",
    "student": "training the student again, distilled from the teacher",
}
DATA = ["--train", 600, "--test", 100, "--size", "192x192", "--style", "standard", "--seed", 0]
SMALL_DATA = ["--train", 8, "--test", 2, "--size", "96x96", "--style", "easy", "--seed", 0]
SMALL = [f"data.{key}=96" for key in ("train.img_size", "train.short_size", "test.short_size")]
SCORES = ("precision", "recall", "hmean")


def parser() -> Parser:
    """The command line."""
    parser = demo_parser(__doc__, "outputs/demo")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the trainings (default 0)")
    return parser


def main(args: argparse.Namespace) -> None:
    out, common = args.out, small_options(args.out, SMALL) if args.small else []
    options = dict.fromkeys(CONFIGS, common)
    options["student"] = [*common, f"distiller.teachers.0.checkpoint={out / 'teacher' / LAST}"]
    exports = all(map(find_spec, PACKAGES))
    steps = Steps(out, 8 + 2 * exports, CONFIGS, options)
    root = steps.configs["teacher"].data.root
    render = ["tools/make_synthetic.py", root, *(SMALL_DATA if args.small else DATA), "--workers", 2, "--overwrite"]
    steps.run(
        "data", f"rendering synthetic images with curved text into {root}", Path(root) / "synthetic.json", *render
    )
    for name, what in WHAT.items():
        script = "knowledge_distillation_train.py" if name == "student" else "train.py"
        steps.train(name, what, script, "--precision", fastest_precision(), "--seed", args.seed)
    results = {name: steps.test(name, f"testing the {name.replace('_', ' ')} on unseen images") for name in CONFIGS}
    model, runtime = out / "student" / LAST, "torch"
    if exports:
        checkpoint, model, runtime = model, out / "student.onnx", "onnx"
        steps.run("export", "exporting the student, to run without PyTorch", model, "export.py", checkpoint, model)
    picture = render_picture(out / "unlabelled.jpg")
    found = ["--vis", out / "predicted", "--json", out / "predictions.json"]
    predict = ["predict.py", model, picture, "--runtime", runtime, *found]
    steps.run("predict", "detecting in a picture without labels", out / "predictions.json", *predict)

    if exports:
        trained = ["--vis", out / "trained", "--json", out / "trained.json"]
        what = "detecting in the same picture with the detector that comes with the repository"
        steps.run("trained", what, out / "trained.json", "predict.py", picture, "--runtime", runtime, *trained)

    files = {name: {"torch": out / name / LAST} for name in CONFIGS}
    if exports:
        files["student"] |= dict.fromkeys(RUNTIMES, model)
    report, summary = out / "report.html", out / "summary.json"
    if not (steps.idle and report.exists() and summary.exists()):
        write_summary(summary, report, steps, results, files)
    print(f"\n{json.loads(summary.read_text())['conclusion']}")
    print(f"{report}   {summary}")


def write_summary(
    path: Path, report: Path, steps: Steps, results: Mapping[str, Mapping], files: Mapping[str, Mapping[str, Path]]
) -> None:
    """Measures the networks and writes summary.json and the report.

    Args:
        results: of the tests, by name.
        files: name -> runtime -> file of the network.
    """
    out, place = path.parent, dict(device="cpu", threads=torch.get_num_threads(), workers=0, upright=False)
    predictors = {
        name: {runtime: Predictor.load(file, runtime, **place) for runtime, file in own.items()}
        for name, own in files.items()
    }
    networks = {name: predictors[name] for name in ("teacher", "student")}  # both students are one network
    milliseconds = measure(networks, out / "unlabelled.jpg")
    summary: dict[str, Any] = {
        name: {key: results[name][key] for key in SCORES}
        | {"parameters": parameters(files[name]["torch"]), "milliseconds": milliseconds.get(name, {})}
        for name in CONFIGS
    }
    summary["threads"] = place["threads"]
    summary["conclusion"] = conclusion({name: results[name]["hmean"] for name in CONFIGS}, distillation_gain(out))
    summary["seconds"] = {**steps.seconds, "total": round(sum(steps.seconds.values()), 1)}
    own = {name: by_runtime["torch"] for name, by_runtime in predictors.items()}
    write_report(report, summary, steps.configs["teacher"], own)
    write_json(path, summary)


if __name__ == "__main__":
    run_demo(main, parser())
