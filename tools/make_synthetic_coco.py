"""Writes the embedded data set for object detection: `python tools/make_synthetic_coco.py data/shapes`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from errors import exit_code
from tools.make_synthetic import common_options, parse_size, render


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
    common_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    from dataset.synthetic.shape_set import write_coco  # here: seconds, that --help need not wait for

    render(args, {"training": args.train, "validation": args.val}, partial(write_coco, style=args.style))


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
