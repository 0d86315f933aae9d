"""Writes the embedded data set of curved scene text: `python tools/make_synthetic.py data/synthetic`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from errors import exit_code


def parse_size(text: str) -> tuple[int, int]:
    """ "640x480" -> (640, 480)."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: give width x height in pixels, such as 640x640")
    return int(match[1]), int(match[2])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        description="Renders scene text with exact 14-point polygons, in the layout of CTW1500. "
        "The same options give the same bytes."
    )
    parser.add_argument(
        "out", metavar="OUT", help="root of the data set: OUT/{train,test}/{text_image,text_label_curve}"
    )
    parser.add_argument("--train", type=int, default=1000, metavar="N", help="training images (default 1000)")
    parser.add_argument("--test", type=int, default=200, metavar="M", help="test images (default 200)")
    parser.add_argument("--size", type=parse_size, default=(640, 640), metavar="WxH", help="default 640x640")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    parser.add_argument("--fonts", metavar="DIR", help="folder of .ttf, .otf, .ttc (default: those of matplotlib)")
    parser.add_argument(
        "--test-fonts", metavar="PATTERNS", help="font files that only the test set uses, such as 'STIX*,cm*'"
    )
    parser.add_argument(
        "--style", choices=["easy", "standard", "hard"], default="standard",
        help="hard: smaller, fainter, denser, more curved text; easy: the opposite, and little clutter",
    )  # fmt: skip
    common_options(parser)
    return parser.parse_args(argv)


def common_options(parser: Parser) -> None:
    """Options of every tool that renders."""
    parser.add_argument("--workers", type=int, default=1, metavar="K", help="processes (default 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace a synthetic set made with other options")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def render(args: argparse.Namespace, counts: dict[str, int], write: Callable[..., bool]) -> None:
    """Renders a set with a progress bar.

    Args:
        counts: images of both splits by name.
        write: dataset.synthetic's function.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=sum(counts.values()))
        written = write(
            args.out, *counts.values(), args.size, args.seed, workers=args.workers, overwrite=args.overwrite,
            progress=lambda done, total: bar.update(task, completed=done),
        )  # fmt: skip
    images = " and ".join(f"{count} {name}" for name, count in counts.items())
    print(
        f"{args.out}: {images} images" if written else f"{args.out}: already complete with these options; nothing to do"
    )


def run(args: argparse.Namespace) -> None:
    from dataset.synthetic.text_set import STYLES, write_dataset  # here: seconds, that --help need not wait for

    style = STYLES[args.style]
    if args.test_fonts:
        style = replace(style, test_fonts=tuple(args.test_fonts.split(",")))
    write = partial(write_dataset, fonts=args.fonts, style=style)
    render(args, {"training": args.train, "test": args.test}, write)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
