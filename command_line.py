"""Command lines that all scripts and tools parse and run alike."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from errors import exit_code, printable

_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")  # of torchrun, SLURM and the training library


def is_first() -> bool:
    """True in the process of a run that writes logs and files, whoever has started them."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that accepts `--batch-size` and `--batch_size` as the same option, whichever is declared."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        args = sys.argv[1:] if args is None else list(args)
        end = args.index("--") if "--" in args else len(args)
        return super().parse_known_args([*map(self._as_declared, args[:end]), *args[end:]], namespace)

    def _as_declared(self, argument: str) -> str:
        name, sign, value = argument.partition("=")
        declared = {_spelt(option): option for action in self._actions for option in action.option_strings}
        return f"{declared.get(_spelt(name), name)}{sign}{value}"


def _spelt(option: str) -> str:
    return option.replace("_", "-")


def run(main: Callable[[argparse.Namespace], None], p: Parser, argv: Sequence[str] | None = None) -> None:
    """Parses the command line and runs `main`; an error of the user becomes one line and exit code 2."""
    args = p.parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    # Further processes of a run would repeat the messages of the first one, but each reads images of its own.
    logging.basicConfig(level=logging.INFO if is_first() else logging.ERROR, handlers=[handler], force=True)
    for name in ("dataset.images", "dataset.image_dataset"):
        logging.getLogger(name).setLevel(logging.NOTSET if is_first() else logging.WARNING)
    _quiet_training_library()
    if code := exit_code(lambda: main(args), args.debug):
        sys.exit(code)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _quiet_training_library() -> None:
    """Suppresses the training library's messages to developers, and its advertisements."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero", "faster_coco_eval"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ("LeafSpec", "does not have many workers", "in eval mode at the start", "Checkpoint directory"):
        warnings.filterwarnings("ignore", message=f".*{message}.*")
