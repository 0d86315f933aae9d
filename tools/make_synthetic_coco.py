"""Writes the embedded data set for object detection: `python tools/make_synthetic_coco.py data/shapes`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from errors import exit_code
from tools.make_synthetic import parse_size


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        description="Renders coloured shapes of six classes among shapes of none, with exact boxes and masks, in the "
        "layout of COCO 2017. The same options give the same bytes."
    )
    parser.add_argument(
        "out", metavar="OUT", help="root of the data set: OUT/{train2017,val2017}, OUT/annotations/instances_*.json"
    )
    parser.add_argument("--train", type=int, default=2000, metavar="N", help="training images (default 2000)")
    parser.add_argument("--val", type=int, default=400, metavar="M", help="validation images (default 400)")
    parser.add_argument("--size", type=parse_size, default=(256, 256), metavar="WxH", help="default 256x256")
    parser.add_argument(
        "--style", default="standard", choices=["standard", "easy"], help="easy: large, coloured by class"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    parser.add_argument("--workers", type=int, default=1, metavar="K", help="processes (default 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace a synthetic set made with other options")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from dataset.synthetic.shape_set import write_coco  # here: seconds, that --help need not wait for

    columns = TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=args.train + args.val)
        written = write_coco(
            args.out,
            args.train,
            args.val,
            args.size,
            args.seed,
            workers=args.workers,
            overwrite=args.overwrite,
            progress=lambda done, total: bar.update(task, completed=done),
            style=args.style,
        )
    if written:
        print(f"{args.out}: {args.train} training and {args.val} validation images")
    else:
        print(f"{args.out}: already complete with these options; nothing to do")


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
