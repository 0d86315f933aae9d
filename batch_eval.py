"""Tests every checkpoint of a folder:  python batch_eval.py config/kkd/r18_ctw.py [FOLDER]"""

import argparse
from pathlib import Path

from errors import end_on_signals

end_on_signals("interrupted; what is scored is kept")  # before the imports, which take seconds

from engine import cli
from engine.inference.batch_eval import evaluate_folder, write_summary
from engine.precision import check_precision, resolve_device


def main(args: argparse.Namespace) -> None:
    cfg = cli.load(args)
    device = resolve_device(args.device)
    check_precision(args.precision, device)
    cli.check_counts(args, device)
    folder = Path(args.folder or Path("work_dirs") / cli.run_name(args.config))
    work_dir = Path(args.work_dir or folder / "batch_eval")
    rows = evaluate_folder(cfg, folder, work_dir, device, args.precision, args.max_steps, args.batch_size)
    write_summary(rows, cfg.task, work_dir)


if __name__ == "__main__":
    parser = cli.parser(__doc__, default="FOLDER/batch_eval")
    parser.add_argument("config", help="the config that the checkpoints were trained with")
    parser.add_argument("folder", nargs="?", help="default: work_dirs/CONFIG")
    cli.testing_options(parser)
    cli.run(main, parser)
