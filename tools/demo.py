"""The whole job on the embedded default: data, teacher, distilled student, test on unseen images, report.

python tools/demo.py writes outputs/demo/report.html and summary.json. What an earlier call has finished is not done
again; delete outputs/demo to start over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.cli import fastest_precision  # noqa: E402
from engine.config import load_config  # noqa: E402
from eval.files import write_json  # noqa: E402
from tools.demo_report import write_report  # noqa: E402
from tools.demo_stages import Stages, run_demo  # noqa: E402

OUT = Path("outputs/demo")
TEACHER, STUDENT = "config/demo/r50.py", "config/demo/distill_r18.py"
LAST = "checkpoint_last.pth.tar"
DATA = ["--train", 800, "--test", 100, "--size", "192x192", "--style", "easy", "--seed", 0]


def main() -> None:
    precision = ["--precision", fastest_precision()]
    stages = Stages(OUT, total=5)
    stages.key = json.dumps([load_config(c).to_dict() for c in (TEACHER, STUDENT)])
    root = load_config(TEACHER).data.root
    teacher, student = OUT / "teacher", OUT / "student"
    render = ["tools/make_synthetic.py", root, *DATA, "--workers", 2, "--overwrite"]
    stages.run(
        "data", f"rendering synthetic images with curved text into {root}", Path(root) / "synthetic.json", *render
    )
    train = ["train.py", TEACHER, "--work-dir", teacher, *precision]
    stages.run("teacher", "training the teacher", teacher / LAST, *train, resume=True)
    distil = ["knowledge_distillation_train.py", STUDENT, "--work-dir", student, *precision]
    stages.run("student", "distilling a student from it", student / LAST, *distil, resume=True)
    for name, config in (("teacher", TEACHER), ("student", STUDENT)):
        folder = OUT / f"{name}_test"
        test = ["test.py", config, OUT / name / LAST, "--work-dir", folder]
        stages.run(f"{name}_test", f"testing the {name} on unseen images", folder / "results.json", *test)
    summary = {}
    for name in ("teacher", "student"):
        results = json.loads((OUT / f"{name}_test" / "results.json").read_text())
        summary[name] = {key: results[key] for key in ("precision", "recall", "hmean")}
    summary["seconds"] = {**stages.seconds, "total": round(sum(stages.seconds.values()), 1)}
    write_json(OUT / "summary.json", summary)
    write_report(OUT, summary, {"teacher": TEACHER, "student": STUDENT})
    print(f"\nteacher hmean {summary['teacher']['hmean']:.4f}, student hmean {summary['student']['hmean']:.4f}")
    print(f"{OUT / 'report.html'}   {OUT / 'summary.json'}")


if __name__ == "__main__":
    run_demo(main, __doc__, "make demo")
