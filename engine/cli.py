"""Command lines of all scripts: common options, devices, and errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from command_line import Parser, run
from engine.experiment import Experiment, load_experiment
from engine.precision import PRECISIONS
from errors import InputError

__all__ = ["check_counts", "compile_option", "load", "parser", "run", "run_name", "testing_options", "training_options"]


def parser(description: str, folder: str = "--work-dir", default: str = "work_dirs/CONFIG") -> Parser:
    """A parser with the options that every script has; `folder` is the name of the one that sets `work_dir`."""
    p = Parser(description=description, formatter_class=lambda prog: argparse.HelpFormatter(prog, width=110))
    p.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config entries"
    )
    p.add_argument(folder, dest="work_dir", metavar="DIR", help=f"folder of the run (default: {default})")
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: cuda where there is one")
    p.add_argument("--precision", default="32", choices=list(PRECISIONS), help="bf16 and 16 are mixed precision")
    p.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return p


def load(args: argparse.Namespace, entries: Sequence[str] = ()) -> Experiment:
    """The experiment that a command line names, with its options; `entries` of the config come before these."""
    seed = getattr(args, "seed", None)
    own = [] if seed is None else [f"train_cfg.seed={seed}"]
    return load_experiment(args.config, [*entries, *args.cfg_options, *own])


def _backend(text: str) -> str:
    """The backend of --compile, which is not the config behind it."""
    if text.endswith(".py"):
        raise argparse.ArgumentTypeError(f"{text!r} is no backend; put --compile behind the config")
    return text


def compile_option(p: Parser) -> None:
    """Adds --compile; see engine.compiling."""
    p.add_argument(
        "--compile",
        nargs="?",
        const="inductor",
        type=_backend,
        metavar="BACKEND",
        help="torch.compile the networks, for GPUs (default: inductor)",
    )


def training_options(p: Parser) -> None:
    """Adds the options of the two scripts that train."""
    p.add_argument("--seed", type=int, help="seed of everything random (default: train_cfg.seed)")
    p.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="GPUs, or CPU processes, of a machine (default: all GPUs, or 1 process)",
    )
    p.add_argument("--nodes", type=int, metavar="N", help="machines; each runs this command by torchrun or SLURM")
    p.add_argument("--sync-batchnorm", action="store_true", help="batch norms over all GPUs together")
    compile_option(p)
    p.add_argument("--profile", metavar="FILE.json", help="a table and a trace of what batches 10 to 20 spend time on")
    p.add_argument("--resume", action="store_true", help="go on where the run in the work dir was interrupted")
    p.add_argument("--max-steps", type=int, default=-1, metavar="N", help="stop after N iterations")


def testing_options(p: Parser) -> None:
    """Adds the options of the two scripts that test."""
    p.add_argument("--max-steps", type=int, default=-1, metavar="N", help="take the first N images only")
    p.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="N",
        help="images of one size that the network takes at once, at most (default: 1)",
    )
    p.add_argument("--report", metavar="FILE.html", help="write a page: scores, thresholds, recall by size, the images")
    p.add_argument(
        "--report-images",
        type=int,
        default=50,
        metavar="N",
        help="images that the page shows, the worst first (default: 50); it lists all",
    )


def run_name(config: str | Path) -> str:
    """Name of a run: the config's path below `config/`, joined by underscores ('kkd_r50_ctw')."""
    parts = Path(config).with_suffix("").parts
    start = len(parts) - parts[::-1].index("config") if "config" in parts else -1
    return "_".join(parts[start:])


def check_counts(args: argparse.Namespace) -> None:
    """InputError for invalid numbers of steps and images."""
    if args.max_steps < 1 and args.max_steps != -1:
        raise InputError(f"--max-steps {args.max_steps}: expected 1 or more")
    if getattr(args, "report_images", 0) < 0:
        raise InputError(f"--report-images {args.report_images}: expected 0 or more")
    batch_size = getattr(args, "batch_size", None)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size {batch_size}: expected 1 or more")
