"""Trains a student with the help of a trained teacher:  python knowledge_distillation_train.py [CONFIG]"""

import argparse

from errors import InputError, end_on_signals

end_on_signals("interrupted; go on with --resume")  # before the imports, which take seconds

from engine import cli
from engine.precision import PRECISIONS
from engine.training.run import train

# Options of the published script, and the config entries that they set.
SHORTCUTS = {
    "checkpoint_t": "distiller.teachers.0.checkpoint",
    "checkpoint_s": "train_cfg.pretrain",
    "end_epoch": "train_cfg.epoch",
    "lr": "train_cfg.lr",
    "batch_size": "data.batch_size",
}


def main(args: argparse.Namespace) -> None:
    given = {key: getattr(args, option) for option, key in SHORTCUTS.items() if getattr(args, option) is not None}
    cfg = cli.load(args, [f"{key}={value!r}" for key, value in given.items()])
    if cfg.distiller is None:
        raise InputError(f"{args.config}: has no 'distiller' section; use train.py, or config/kkd/distill_ctw.py")
    train(cfg, args, args.exp_name or cli.run_name(args.config), args.teacher_precision)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("config", nargs="?", default="config/kkd/distill_ctw.py", help="default: %(default)s")
    parser.add_argument("--checkpoint_t", metavar="FILE", help="weights of the teacher")
    parser.add_argument("--checkpoint_s", metavar="FILE", help="weights that the student starts from")
    parser.add_argument("--end_epoch", type=int, metavar="N", help="number of epochs")
    parser.add_argument("--lr", type=float, help="initial learning rate")
    parser.add_argument("--batch_size", type=int, metavar="N", help="images per step, all devices together")
    parser.add_argument("--exp_name", metavar="NAME", help="name of the run below work_dirs/")
    cli.training_options(parser)
    parser.add_argument(
        "--teacher-precision", choices=list(PRECISIONS), help="of the teachers alone (default: as --precision)"
    )
    cli.run(main, parser)
