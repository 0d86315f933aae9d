"""The whole job on the embedded default: data, teacher, distilled student, test on unseen images, report.

python tools/demo.py writes outputs/demo/report.html and summary.json. What an earlier call has finished is not done
again; delete outputs/demo to start over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.cli import fastest_precision  # noqa: E402
from engine.config import load_config  # noqa: E402
from errors import InputError  # noqa: E402
from eval.files import write_json  # noqa: E402
from tools.demo_report import write_report  # noqa: E402

OUT = Path("outputs/demo")
TEACHER, STUDENT = "config/demo/r50.py", "config/demo/distill_r18.py"
LAST = "checkpoint_last.pth.tar"
DATA = ["--train", 800, "--test", 100, "--size", "192x192", "--style", "easy", "--seed", 0]


class Stages:
    """Runs commands one after the other, tells what each does, and remembers what is done and how long it took."""

    def __init__(self, out: Path, total: int) -> None:
        self.out = out
        self.total = total
        self.seconds: dict[str, float] = {}
        self.key = ""

    def run(self, name: str, what: str, product: Path, *command: object, resume: bool = False) -> None:
        """Runs `python command`, unless it is done already, its product is there, and nothing before it has changed."""
        arguments = [str(part) for part in command]
        self.key = hashlib.sha256((self.key + repr(arguments)).encode()).hexdigest()
        done, started = self.out / f"{name}.done.json", self.out / f"{name}.started.json"
        print(f"\n[{len(self.seconds) + 1}/{self.total}] {what}", flush=True)
        if product.exists() and (known := self._read(done))["key"] == self.key:
            print(f"    done before, in {known['seconds']} s", flush=True)
            self.seconds[name] = known["seconds"]
            return
        if resume and self._read(started)["key"] == self.key:
            arguments.append("--resume")
        write_json(started, {"key": self.key})
        print(f"    python {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, *arguments], check=False).returncode
        if code:
            raise InputError(f"stage '{name}' ended with exit code {code}; what was said above is the reason")
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json(done, {"key": self.key, "seconds": self.seconds[name]})

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        return json.loads(path.read_text()) if path.is_file() else {"key": None}


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
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here", file=sys.stderr)
        sys.exit(130)
