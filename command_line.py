"""Command lines that all scripts and tools parse alike."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


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
