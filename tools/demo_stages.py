"""Commands run one after the other, each only if it or what it depends on has changed; shared by the demos."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from errors import InputError
from eval.files import write_json


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
        done, started = self.out / f"{name}.done.json", self.out / f"{name}.started.json"
        print(f"\n[{len(self.seconds) + 1}/{self.total}] {what}", flush=True)
        if product.exists() and (known := self._read(done))["key"] == self.key:
            print(f"    done before, in {known['seconds']} s", flush=True)
            self.seconds[name] = known["seconds"]
            return
        if resume and self._read(started)["key"] == self.key:
            arguments.append("--resume")
        write_json(started, {"key": self.key})
        print(f"    python {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, *arguments], check=False).returncode
        if code:
            raise InputError(f"stage '{name}' ended with exit code {code}; what was said above is the reason")
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json(done, {"key": self.key, "seconds": self.seconds[name]})

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        return json.loads(path.read_text()) if path.is_file() else {"key": None}


def run_demo(main: Callable[[], None], description: str, command: str) -> None:
    """Runs a demo as a program; a mistake becomes one line, and an interrupted one says how to go on."""
    argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"interrupted; `{command}` goes on from here", file=sys.stderr)
        sys.exit(130)
