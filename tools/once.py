"""A command that is run once: again only if it or what it depends on has changed, or what it made is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import InputError
from eval.files import write_json


class Once:
    """`python arguments`.

    Args:
        name: the files that remember it are NAME.started.json and NAME.done.json.
        key: of all that the product depends on.
        product: a file that it writes when it is through.
        arguments: a script and its arguments.
        resume: whether the script takes --resume, which an interrupted run of the same key then goes on with.
    """

    def __init__(self, name: Path, key: str, product: Path, arguments: Sequence[object], resume: bool = False) -> None:
        self.done, self.started = (name.with_name(f"{name.name}.{state}.json") for state in ("done", "started"))
        self.key = key
        self.product = product
        self.arguments = [str(part) for part in arguments]
        if resume and self._read(self.started)["key"] == key:
            self.arguments.append("--resume")

    @property
    def seconds(self) -> float | None:
        """How long it took, None if it is still to be run."""
        known = self._read(self.done)
        return known["seconds"] if self.product.exists() and known["key"] == self.key else None

    def __call__(self, **options: Any) -> float:
        """Runs it, with options of subprocess.run; returns the seconds. InputError if it fails."""
        write_json(self.started, {"key": self.key})
        start = time.monotonic()
        code = subprocess.run([sys.executable, *self.arguments], check=False, **options).returncode
        if code:
            name = self.done.name.removesuffix(".done.json")
            raise InputError(f"stage '{name}' ended with exit code {code}; what was said above is the reason")
        seconds = round(time.monotonic() - start, 1)
        write_json(self.done, {"key": self.key, "seconds": seconds})
        return seconds

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        return json.loads(path.read_text()) if path.is_file() else {"key": None}
