"""Runs all side-by-side benchmarks and the scaling curves; writes results/MACHINE.md and .json: `make bench`.

Each script runs in a process of its own, one after the other, so that none sees what another left in memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, machine, table

from command_line import Parser

FOLDER = Path(__file__).resolve().parent
SCRIPTS = (
    "pixel_aggregation",
    "scale_expansion",
    "label_polygons",
    "training_sample",
    "embedding_loss",
    "hard_example_mining",
    "distillation_step",
    "scoring",
    "multineck_step",
)


def run(name: str) -> list[Row]:
    """The rows of one script.

    Raises:
        subprocess.CalledProcessError: it failed, or our result and the reference's differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--json", str(path)], check=True)
        return [Row(**{**row, "spread": tuple(row["spread"])}) for row in json.loads(path.read_text())]


def slug(about: dict[str, object]) -> str:
    """A file name for a machine: processor or GPU, and cores."""
    name = f"{about['gpu'] or about['processor']} {about['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS, metavar="NAME", help=", ".join(SCRIPTS))
    parser.add_argument("--name", help="of the files in benchmarks/results; by default the processor's")
    args = parser.parse_args()
    about, rows, start = machine(), [], time.perf_counter()
    for name in args.only:
        print(f"\n{name} ({time.perf_counter() - start:.0f} s so far)", flush=True)
        rows += run(name)
    results, name = FOLDER / "results", args.name or slug(about)
    results.mkdir(exist_ok=True)
    outputs = ["--json", str(results / f"{name}_scaling.json"), "--plot", str(results / f"{name}_scaling.png")]
    subprocess.run([sys.executable, str(FOLDER / "scaling.py"), *outputs], check=True)
    about["seconds"] = round(time.perf_counter() - start)
    facts = "\n".join(f"* {key}: {value}" for key, value in about.items())
    curves = json.loads((results / f"{name}_scaling.json").read_text())
    (results / f"{name}.json").write_text(
        json.dumps({"machine": about, "rows": [vars(row) for row in rows], "scaling": curves}, indent=1) + "\n"
    )
    (results / f"{name}.md").write_text(f"# Benchmarks\n\n`make bench` on\n\n{facts}\n\n{table(rows)}\n")
    print(f"\n{results / name}.md, .json and _scaling.png after {about['seconds']} s")


if __name__ == "__main__":
    main()
