"""Commands run one after the other, each only if it or what it depends on has changed; shared by the demos."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from errors import exit_code
from tools.once import Once


class Stages:
    """Runs commands one after the other, tells what each does, and remembers what is done and how long it took."""

    def __init__(self, out: Path, total: int) -> None:
        self.out = out
        self.total = total
        self.seconds: dict[str, float] = {}
        self.key = ""

    def run(self, name: str, what: str, product: Path, *command: object, resume: bool = False) -> None:
        """Runs `python command`, unless it is done already, its product is there, and nothing before it has changed."""
        arguments = [str(part) for part in command]
        self.key = hashlib.sha256((self.key + repr(arguments)).encode()).hexdigest()
        print(f"\n[{len(self.seconds) + 1}/{self.total}] {what}", flush=True)
        state = product.with_name("resume.ckpt") if resume else None
        stage = Once(self.out / name, self.key, product, arguments, state)
        if (seconds := stage.seconds) is not None:
            print(f"    done before, in {seconds} s", flush=True)
        else:
            print(f"    python {' '.join(stage.arguments)}", flush=True)
            seconds = stage()
        self.seconds[name] = seconds


def run_demo(main: Callable[[], None], description: str, command: str) -> None:
    """Runs a demo as a program; a mistake becomes one line, and an interrupted one says how to go on."""
    argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        sys.exit(exit_code(main))
    except KeyboardInterrupt:
        print(f"interrupted; `{command}` goes on from here", file=sys.stderr)
        sys.exit(130)
