"""Time and memory of the SynthText index at full size: made from random words, opened, sent to a worker, read.

The images are made up one by one and handed to the writer, so making is without the loading of a real `gt.mat`.
Opening and reading run in a process of their own, whose resident memory is what they add to it. Then several processes
read all records and stay: a page that N processes share counts 1/N of its size in the proportional memory of each.
"""

from __future__ import annotations

import multiprocessing
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotations.synthtext import SynthTextImage
from command_line import Parser
from dataset.text.parsers.synthtext import SynthText
from dataset.text.parsers.synthtext_index import write_index

IMAGES = 858_750
READS = 100_000
PROCESSES = (1, 2, 4, 8)


def random_images(count: int, seed: int = 0) -> Iterator[SynthTextImage]:
    """Images of 1 to 16 words, 8.5 on average as in SynthText."""
    rng = np.random.default_rng(seed)
    words = ["the", "text", "of", "natural", "images", "is", "often", "rendered"] * 2
    for number in range(count):
        n = int(rng.integers(1, 17))
        corners = rng.random((n, 1, 2)) * 500 + np.array([(0, 0), (60, 3), (59, 23), (-1, 20)])
        yield SynthTextImage(f"{number // 4000 + 1}/picture_{number}.jpg", corners, words[:n], f"entry {number + 1}")


def write_root(root: Path, images: Iterator[SynthTextImage]) -> None:
    """A SynthText folder of nothing but an index, and what the parser wants to see before it opens that."""
    (root / "1").mkdir(parents=True)
    (root / "gt.mat").touch()
    stat = (root / "gt.mat").stat()
    write_index(root / "gt.mat.index", images, {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns})


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(root: Path, reads: int = READS) -> dict[str, float]:
    """Seconds and MB of opening the parser in a fresh process, pickling it and reading records at random."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (root, reads))


def _measure(root: Path, reads: int) -> dict[str, float]:
    before, start = resident(), time.perf_counter()
    parser = SynthText(root, "train")
    opened = time.perf_counter() - start
    opened_memory = resident() - before
    sent = pickle.dumps(parser)
    start = time.perf_counter()
    arrived = pickle.loads(sent)
    unpickled = time.perf_counter() - start
    chosen = np.random.default_rng(0).integers(0, len(parser), reads).tolist()
    start = time.perf_counter()
    for index in chosen:
        arrived[index]
    reading = time.perf_counter() - start
    for index in range(len(arrived)):  # the worst case: every page was touched
        arrived[index]
    return {
        "open, s": opened,
        "open, MB": opened_memory,
        "pickled, MB": len(sent) / 1e6,
        "unpickle, s": unpickled,
        "one record at random, us": reading / reads * 1e6,
        "all records read, MB": resident() - before,
    }


def proportional() -> float:
    """Memory of this process in MB, of pages that others share a part."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def share(root: Path, processes: int) -> dict[str, float]:
    """Of processes that hold the index at the same time: seconds to open it, and memory of each, means over them."""
    context = multiprocessing.get_context("spawn")
    meeting = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _meet, (meeting,)) as pool:
        rows = list(pool.map(_hold, [root] * processes))
    return {name: sum(row[name] for row in rows) / processes for name in rows[0]}


def _meet(meeting: Any) -> None:
    global _meeting
    _meeting = meeting


def _hold(root: Path) -> dict[str, float]:
    _meeting.wait()  # all have started, which shares the libraries
    before, before_shared = resident(), proportional()
    _meeting.wait()
    start = time.perf_counter()
    parser = SynthText(root, "train")
    opened = time.perf_counter() - start
    for index in range(len(parser)):
        parser[index]
    _meeting.wait()  # all have read everything, and nobody has ended
    found = {"open, s": opened, "resident, MB": resident() - before, "proportional, MB": proportional() - before_shared}
    _meeting.wait()
    return found


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, start = Path(folder) / "SynthText", time.perf_counter()
        write_root(root, random_images(args.images))
        print(f"make, s: {time.perf_counter() - start:.2f}, of which making up images is a part")
        print(f"make, MB at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f}")
        print(f"index, MB: {(root / 'gt.mat.index').stat().st_size / 1e6:.0f}")
        for name, value in measure(root).items():
            print(f"{name}: {value:.4g}")
        print("\n| processes | open, s | resident, MB each | proportional, MB each | together, MB |")
        print("| --- | --- | --- | --- | --- |")
        for processes in PROCESSES:
            opened, own, part = share(root, processes).values()
            print(f"| {processes} | {opened:.3f} | {own:.0f} | {part:.0f} | {processes * part:.0f} |")


if __name__ == "__main__":
    main()
