"""Exports a text detector to ONNX:  python export.py work_dirs/light_m_ic15/checkpoint_best.pth.tar light_m.onnx"""

import argparse

from command_line import Parser
from errors import end_on_signals, say

end_on_signals()  # before the imports, which take seconds

from engine import cli
from engine.inference.export import export


def main(args: argparse.Namespace) -> None:
    for runtime, difference in export(args.checkpoint, args.out).items():
        print(f"{runtime}: largest difference from PyTorch {difference:.2g}")
    say(f"written: {args.out}")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint of train.py or knowledge_distillation_train.py")
    parser.add_argument("out", metavar="OUT.onnx", help="the file to write")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
