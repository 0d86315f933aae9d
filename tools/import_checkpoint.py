"""Brings a published KKDnet, PAN or PSENet checkpoint into this project's names, for test.py and the other scripts.

python tools/import_checkpoint.py SRC DST --config CONFIG reports every tensor without a counterpart, and writes DST
only when all of the config's model was found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from engine import cli
from engine.experiment import load_experiment
from engine.outputs import data_places
from engine.report.analysis import require_text
from engine.training.checkpoint import new_detector, save_checkpoint
from errors import InputError, say
from files import check_output
from models import FPEMNeck
from models.text.published import translate
from models.weights import read_checkpoint, state_dict_of


def main(args: argparse.Namespace) -> None:
    cfg = load_experiment(args.config, args.cfg_options)
    require_text(cfg.task, "this tool")
    check_output("DST", args.dst, [args.src, args.config, *data_places(cfg.data)], folder=False)
    checkpoint = read_checkpoint(args.src)
    published = state_dict_of(checkpoint, args.src)
    if any(key.startswith(("neck.", "head.")) for key in published):
        raise InputError(f"{args.src}: is a checkpoint of this project already; use it as it is")
    detector = new_detector(cfg.model, pretrained=False)
    translation = translate(published, detector.state_dict())
    print(f"{translation.matched} of {len(published)} tensors matched")
    for key in translation.unused:
        say(f"unused: {key} belongs to no detector of this project")
    for problem in translation.problems:
        say(f"mismatch: {problem}")
    if translation.problems:
        raise InputError(
            f"{args.src}: {len(translation.problems)} mismatches with the model of {args.config}, listed above; "
            "nothing is written; use the config of the network that it holds"
        )
    detector.load_state_dict(translation.state)
    epoch = checkpoint.get("epoch")
    save_checkpoint(args.dst, detector.state_dict(), cfg.config, epoch if isinstance(epoch, int) else 0, {})
    if isinstance(detector.neck, FPEMNeck):
        version = 2 if detector.neck.fpem1.residual else 1
        print(f"taken from the config, for weights do not tell it: model.neck.version={version}")
    print(f"written: {args.dst}")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", metavar="SRC", help="the published checkpoint")
    parser.add_argument("dst", metavar="DST", help="the file to write, such as work_dirs/imported/teacher.pth.tar")
    parser.add_argument("--config", required=True, help="the config whose model it holds")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
