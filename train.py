"""Trains a text detector (a teacher, or a student on its own):  python train.py config/kkd/r50_ctw.py"""

import argparse

from errors import end_on_signals

end_on_signals("interrupted; go on with --resume")  # before the imports, which take seconds

from engine import cli
from engine.training.run import train


def main(args: argparse.Namespace) -> None:
    train(cli.load(args), args, cli.run_name(args.config))


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("config", help="a config file, such as config/kkd/r50_ctw.py")
    cli.training_options(parser)
    cli.run(main, parser)
