"""A command run once: again only if it, or a step before it, has changed, or its product is gone.

Not by rules of make: these compare times of files, know nothing of options, and cannot resume what was interrupted.
"""

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
        resume: the file that the script goes on from when it is given --resume; None for a script that cannot.
    """

    def __init__(
        self, name: Path, key: str, product: Path, arguments: Sequence[object], resume: Path | None = None
    ) -> None:
        self.name = name
        self.key = key
        self.product = product
        self.resume = resume
        self.arguments = [str(part) for part in arguments]
        self.interrupted = self.seconds is None and self._known("done")["key"] != key == self._known("started")["key"]
        if resume is not None and self.interrupted:
            self.arguments.append("--resume")

    @property
    def seconds(self) -> float | None:
        """Duration; None if it is still to be run."""
        known = self._known("done")
        return known["seconds"] if self.product.exists() and known["key"] == self.key else None

    def __call__(self, **options: Any) -> float:
        """Runs it, with options of subprocess.run; returns the seconds, those of interrupted attempts included.

        Raises:
            InputError: it fails, or its product is not there afterwards.
        """
        before = self._known("started").get("seconds", 0.0) if self.interrupted else 0.0
        if self.resume is not None and not self.interrupted:
            self.resume.unlink(missing_ok=True)  # of another key: nothing may go on from it
        write_json(self._file("started"), {"key": self.key, "seconds": before})
        start = time.monotonic()
        try:
            code = subprocess.run([sys.executable, *self.arguments], check=False, **options).returncode
        finally:
            seconds = round(before + time.monotonic() - start, 1)
            write_json(self._file("started"), {"key": self.key, "seconds": seconds})
        if code:
            raise InputError(f"step '{self.name.name}' ended with exit code {code}; its output says why")
        if not self.product.exists():
            raise InputError(f"step '{self.name.name}' ended without writing {self.product}")
        write_json(self._file("done"), {"key": self.key, "seconds": seconds})
        return seconds

    def _file(self, state: str) -> Path:
        return self.name.with_name(f"{self.name.name}.{state}.json")

    def _known(self, state: str) -> dict[str, Any]:
        path = self._file(state)
        return json.loads(path.read_text()) if path.is_file() else {"key": None}
