"""Compares results on the same images: scores, paired differences of hmean, and the images that got better or worse.

python tools/compare.py A B ...: folders in which test.py has left its results.json; or, with --protocol and --gt,
folders or zips of result files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from engine.report.comparison import check_comparable, comparison_lines, read_results
from engine.report.comparison_page import write_comparison
from engine.report.page import check_page
from errors import InputError, exit_code, say
from eval import PROTOCOLS


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    summary, _, usage = __doc__.partition("\n\n")
    parser = Parser(description=f"{summary} {usage}")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="two or more, the first to be compared with")
    parser.add_argument("--protocol", help=f"of result files, one of: {', '.join(PROTOCOLS)}")
    parser.add_argument("--variant", help="rule of the protocol (default: the benchmark's own)")
    parser.add_argument("--gt", metavar="PATH", help="ground truth of result files, a folder or a .zip")
    parser.add_argument("--report", metavar="FILE.html", help="write a page with the images that differ, side by side")
    parser.add_argument("--images", metavar="DIR", help="folder of the images for --report; without, outlines alone")
    parser.add_argument("--report-images", type=int, default=50, metavar="N", help="most images shown (default: 50)")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Compares, prints, and writes what the options ask for."""
    if len(options.results) < 2:
        raise InputError("one set of results has nothing to be compared with; give two or more")
    if options.report_images < 0:
        raise InputError(f"--report-images {options.report_images}: expected 0 or more")
    if options.report:
        inputs = [*options.results, *filter(None, (options.gt, options.images))]
        check_page("--report", options.report, [place for place in inputs if not Path(place, "results.json").is_file()])
    results = [read_results(path, options.protocol, options.gt, options.variant) for path in options.results]
    check_comparable(results)
    for line in comparison_lines(results):
        say(line)
    if options.report:
        write_comparison(
            options.report, results, Path(options.images) if options.images else None, options.report_images
        )
        say(f"report: {options.report}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, or 2 for an error of the user."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), options.debug)


if __name__ == "__main__":
    sys.exit(main())
