"""Multi-neck distillation on the embedded default: two teachers, their class centres, a student with and without them.

python tools/demo_multineck.py writes outputs/demo-multineck/report.html and summary.json. What an earlier call has
finished is not done again; delete outputs/demo-multineck to start over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.cli import fastest_precision  # noqa: E402
from engine.config import load_config  # noqa: E402
from engine.stages import centers_path, features_path  # noqa: E402
from eval.files import write_json  # noqa: E402
from tools.demo_multineck_report import PICTURES, write_report  # noqa: E402
from tools.demo_stages import Stages, run_demo  # noqa: E402

OUT = Path("outputs/demo-multineck")
CONFIGS = {
    name: f"config/demo_multineck/{file}.py"
    for name, file in {
        "teacher1": "teacher1",
        "teacher2": "teacher2",
        "student_without_distillation": "student",
        "student": "distill",
    }.items()
}
LAST = "checkpoint_last.pth.tar"
DATA = ["--train", 460, "--val", 80, "--size", "128x128", "--style", "easy", "--seed", 0]
SCORES = ("ap", "ap50", "ap75")


def main() -> None:
    precision = ["--precision", fastest_precision()]
    stages = Stages(OUT, total=11)
    stages.key = json.dumps([load_config(config).to_dict() for config in CONFIGS.values()])
    root = load_config(CONFIGS["student"]).data.root
    render = ["tools/make_synthetic_coco.py", root, *DATA, "--overwrite"]
    stages.run("data", f"rendering synthetic shapes into {root}", Path(root) / "synthetic.json", *render)

    def train(name: str, what: str, script: str = "train.py") -> None:
        command = [script, CONFIGS[name], "--work-dir", OUT / name, *precision]
        stages.run(name, what, OUT / name / LAST, *command, resume=True)

    train("teacher1", "training the first teacher, Faster R-CNN")
    train("teacher2", "training the second teacher, Cascade Mask R-CNN")
    features = [features_path(OUT, number) for number in (1, 2)]
    collect = ["tools/collect_roi_features.py", CONFIGS["student"], "--out", OUT]
    stages.run("collect", "describing every training box by both teachers", features[-1], *collect)
    fit = ["tools/fit_centers.py", *features]
    stages.run("centers", "fitting the class centres", centers_path(features[-1]), *fit)
    distil = "knowledge_distillation_train.py"
    train("student", "distilling a student with a twin neck from both", distil)
    train("student_without_distillation", "training the same student without distillation")
    summary = {}
    for name, config in CONFIGS.items():
        folder = OUT / f"{name}_test"
        test = ["test.py", config, OUT / name / LAST, "--work-dir", folder, "--vis", folder / PICTURES]
        what = f"testing the {name.replace('_', ' ')} on unseen images"
        stages.run(f"{name}_test", what, folder / "results.json", *test)
        results = json.loads((folder / "results.json").read_text())
        summary[name] = {key: results[key] for key in SCORES}
    summary["seconds"] = {**stages.seconds, "total": round(sum(stages.seconds.values()), 1)}
    write_json(OUT / "summary.json", summary)
    write_report(OUT, summary, CONFIGS)
    print("\n" + ", ".join(f"{name.replace('_', ' ')} AP {summary[name]['ap']:.4f}" for name in CONFIGS))
    print(f"{OUT / 'report.html'}   {OUT / 'summary.json'}")


if __name__ == "__main__":
    run_demo(main, __doc__, "make demo-multineck")
