"""Score result files: ``python -m eval PROTOCOL --gt FOLDER --pred FOLDER``."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from errors import end_on_signals, exit_code

if __name__ == "__main__":
    end_on_signals()

from command_line import Parser
from eval import PROTOCOLS, evaluate
from eval.files import write_json
from files import check_output


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; a syntax error ends the program with code 2 and a usage line."""
    parser = Parser(prog="python -m eval", description="Score a text detector's results.")
    parser.add_argument("protocol", help=f"one of: {', '.join(PROTOCOLS)}")
    parser.add_argument("--gt", required=True, metavar="PATH", help="ground truth, a folder or a .zip")
    parser.add_argument("--pred", required=True, metavar="PATH", help="results, a folder or a .zip")
    variants = "; ".join(f"{name}: {', '.join(rules.variants)}" for name, rules in PROTOCOLS.items())
    parser.add_argument("--variant", help=f"the rule ({variants}); the first is the default")
    parser.add_argument("--json", metavar="FILE", help="write all scores, also those of each image")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser.parse_args(arguments)


def table(scores: dict[str, Any]) -> str:
    """The pooled scores as two lines."""
    columns = ["protocol", "variant", "precision", "recall", "hmean", "images"]
    cells = [f"{scores[c]:.4f}" if isinstance(scores[c], float) else str(scores[c]) for c in columns]
    widths = [max(len(column), len(cell)) for column, cell in zip(columns, cells)]
    rows = [[text.ljust(width) for text, width in zip(row, widths)] for row in (columns, cells)]
    return "\n".join("  ".join(row).rstrip() for row in rows)


def run(options: argparse.Namespace) -> None:
    """Score, print, and write what the options ask for."""
    if options.json:
        check_output("--json", options.json, [options.gt, options.pred], folder=False)
    scores = evaluate(options.protocol, options.gt, options.pred, options.variant)
    if options.json:
        write_json(options.json, scores)
    print(table(scores))
    if scores.get("images_without_result"):
        print(f"{scores['images_without_result']} image(s) without a result file")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for an error in the input."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), options.debug)


if __name__ == "__main__":
    sys.exit(main())
