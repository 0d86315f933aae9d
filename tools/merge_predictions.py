"""Makes one file of the shards of predict.py:  python tools/merge_predictions.py found.json found.*-of-8.jsonl

The file is what predict.py --json writes of all inputs at once. All shards must be of one run, and finished.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import Parser, run
from engine.inference.prediction_lines import merge
from errors import say
from files import check_output


def main(args: argparse.Namespace) -> None:
    """Merges."""
    check_output("FILE", args.file, args.shards, folder=False)
    pictures, skipped = merge(args.file, args.shards)
    say(f"{args.file}: {pictures} images, {skipped} files skipped")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="to be written")
    parser.add_argument("shards", type=Path, nargs="+", metavar="SHARD", help="files of predict.py --jsonl")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
