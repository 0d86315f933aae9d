"""Images a second of the embedded data set on one core, rendering, encoding and writing included.

By processor time: what an idle core gives; by the clock: what is left on a machine that others use.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import Parser
from dataset.synthetic.text_set import STYLES, write_dataset


def images_per_second(images: int, side: int, style: str, seed: int) -> tuple[float, float]:
    """One run of `write_dataset` with one worker, the search for fonts included: (by processor, by clock)."""
    with tempfile.TemporaryDirectory() as folder:
        processor, clock = time.process_time(), time.perf_counter()
        write_dataset(Path(folder) / "set", images, 0, (side, side), seed, style=STYLES[style])
        return images / (time.process_time() - processor), images / (time.perf_counter() - clock)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=640, help="px")
    parser.add_argument("--style", choices=list(STYLES), default="standard")
    args = parser.parse_args()
    rates = [images_per_second(args.images, args.side, args.style, seed) for seed in range(args.runs)]
    for name, values in zip(("processor time", "clock time"), zip(*rates)):
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name}: {middle:.1f} images/s (median of {args.runs}; {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
