"""Pictures a second of predict.py, and its memory from the first picture to the last, with 1 and 2 workers.

    python benchmarks/many_pictures.py --pictures 20000

Draws small pictures with text into a temporary folder, each many times under other names, and runs `predict.py --jsonl`
on it. Memory is looked at twice a second; the table has it after each quarter of the pictures.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, machine

from command_line import Parser
from dataset.synthetic.text_set import write_dataset

DRAWN = 50  # different pictures
SIDE = 96
WORKERS = (1, 2)


def write_pictures(folder: Path, number: int) -> Path:
    """Fills a folder with pictures of SIDE x SIDE; returns it."""
    write_dataset(folder / "drawn", DRAWN, 1, (SIDE, SIDE))
    drawn = [path.read_bytes() for path in sorted((folder / "drawn/train/text_image").glob("*.jpg"))]
    pictures = folder / "pictures"
    pictures.mkdir()
    for index in range(number):
        (pictures / f"{index}.jpg").write_bytes(drawn[index % len(drawn)])
    return pictures


def measure(pictures: Path, out: Path, workers: int, more: list[str]) -> tuple[float, list[float]]:
    """Pictures a second, from the first to the last, and MB of the process after each quarter of them."""
    total = len(list(pictures.iterdir()))
    command = [sys.executable, ROOT / "predict.py", pictures, "--jsonl", out, "--short-side", str(SIDE), *more]
    points: list[tuple[float, int, float]] = []  # seconds, pictures done, MB
    place = lines = 0
    with subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.5)
            if not out.exists():
                continue
            with out.open("rb") as file:
                file.seek(place)
                new = file.read()
            place, lines = place + len(new), lines + new.count(b"\n")
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            if lines > 1 and pages:  # the first line says what detected; a process that has ended has no pages
                points.append((time.monotonic(), lines - 1, pages * resource.getpagesize() / 1e6))
    if process.returncode:
        raise SystemExit(f"predict.py ended with code {process.returncode}")
    (start, first, _), (end, last, _) = points[0], points[-1]
    quarters = [next((mb for _, done, mb in points if done >= share * total / 4), points[-1][2]) for share in (1, 2, 3)]
    return (last - first) / (end - start), [*quarters, points[-1][2]]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--options", nargs="*", default=["--threads=1"], help="of predict.py (default --threads=1)")
    args = parser.parse_args()
    print(f"{args.pictures} pictures of {SIDE}x{SIDE}, {machine()['processor']}, {machine()['cores']} cores\n")
    print("| workers | pictures/s | MB after a quarter | half | three quarters | all |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder), args.pictures)
        for workers in WORKERS:
            rate, memory = measure(pictures, Path(folder) / f"{workers}.jsonl", workers, args.options)
            print(f"| {workers} | {rate:.1f} | {' | '.join(f'{mb:.0f}' for mb in memory)} |", flush=True)


if __name__ == "__main__":
    main()
