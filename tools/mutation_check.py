"""Makes one mistake at a time in a copy of the project and runs the tests that claim to see it: `make mutants`.

The mistakes are in `tools/mutations/*.toml`, each with a name, a file, its old and its new text, and the tests. One is
killed if a test fails, or if the tests do not end. It survives if all pass. It is broken, which is no kill, if a test
does not exist, fails without the mistake, or cannot be collected with it. The program ends with code 1 unless all are
killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from errors import InputError, exit_code
from tools.support.mistakes import LIST, Mistake, read_mistakes

ROOT = Path(__file__).resolve().parents[1]
COMPILED = (".hpp", ".pyx")
_LIBRARIES = ["pytest", "hypothesis", "torch", "torchvision", "lightning", "mmengine", "cv2", "scipy.io", "shapely"]
_NOT_BUILT = 64  # an exit code that pytest has no use for


class Outcome(NamedTuple):
    """Outcome of a mistake: 'killed', 'survived' or 'broken'; after how many seconds, and how."""

    verdict: str
    seconds: float
    how: str


def copy_project(root: Path, target: Path) -> None:
    """Copies what git tracks or does not ignore, and the compiled extensions."""
    for arguments in (["-co"], ["-oi", "--", ":(glob)*/*.so", ":(glob)*/*.pyd"]):
        command = ["git", "ls-files", "-z", "--exclude-standard", *arguments]
        try:
            listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode().split("\0")
        except (OSError, subprocess.CalledProcessError) as error:
            raise InputError(f"{root}: git cannot list the files of the project ({error})") from error
        for name in filter(None, listed):
            if (root / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, target / name)


class _Record:
    """A pytest plugin: runs the tests of the node ids given and writes what became of each."""

    def __init__(self, tests: Collection[str], path: Path) -> None:
        self.tests, self.path = tests, path
        self.passed: list[str] = []
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if any(_is_of(item.nodeid, test) for test in self.tests)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps({"passed": self.passed, "failed": self.failed}))


def _is_of(nodeid: str, test: str) -> bool:
    return nodeid == test or nodeid.startswith((f"{test}[", f"{test}::"))


def _in_process(folder: Path, tests: Sequence[str], options: Sequence[str], build: bool) -> None:
    """Work of one process: pytest in a copy of the project, of which nothing was imported before."""
    os.setsid()  # whatever the tests start ends with them
    with open(folder.with_suffix(".log"), "wb") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    os.chdir(folder)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
    if build and subprocess.run(command, check=False).returncode:
        os._exit(_NOT_BUILT)
    sys.dont_write_bytecode = True  # it would be taken for that of the next mistake in the same second
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.path = [str(folder)] + [path for path in sys.path if Path(path or ".").resolve() not in (ROOT, ROOT / "tools")]
    for name, module in list(sys.modules.items()):
        if name not in ("__main__", "__mp_main__") and _lies_in(getattr(module, "__file__", None), ROOT):
            del sys.modules[name]
    record = _Record(tests, folder.with_suffix(".json"))
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    os._exit(pytest.main(["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *options, *files], plugins=[record]))


def _lies_in(file: str | None, root: Path) -> bool:
    return file is not None and root in Path(file).parents and ".venv" not in Path(file).relative_to(root).parts


@dataclass
class _Run:
    """The tests that run in one copy of the project."""

    folder: Path
    mistake: Mistake | None
    process: BaseProcess
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, folder: Path, mistake: Mistake | None, tests: Sequence[str]) -> _Run:
        build = mistake is not None and mistake.file.endswith(COMPILED)
        options = ["--continue-on-collection-errors"] if mistake is None else ["-x"]
        folder.with_suffix(".json").unlink(missing_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LIBRARIES)
        run = cls(folder, mistake, context.Process(target=_in_process, args=(folder, tests, options, build)))
        run.process.start()
        return run

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def result(self) -> dict[str, list[str]]:
        path = self.folder.with_suffix(".json")
        return json.loads(path.read_text()) if path.is_file() else {"passed": [], "failed": []}

    def stop(self) -> None:
        """Ends what is left of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.join()

    def outcome(self) -> Outcome:
        """Outcome so far."""
        seconds = self.seconds
        if self.process.is_alive():
            return Outcome("killed", seconds, "the tests do not end")
        code = self.process.exitcode
        if code == 0:
            return Outcome("survived", seconds, ", ".join(self.mistake.tests))
        failed = self.result()["failed"]
        if code == 1 and failed:
            return Outcome("killed", seconds, failed[0])
        log = self.folder.with_suffix(".log").read_text(errors="replace").strip().splitlines()
        why = "does not compile" if code == _NOT_BUILT else f"pytest ended with {code}"
        return Outcome("broken", seconds, f"{why}: {log[-1] if log else ''}")


def check(
    root: Path, mistakes: Sequence[Mistake], jobs: int = 2, seconds: float = 120
) -> Iterator[tuple[Mistake, Outcome]]:
    """Tries the mistakes, each in a process of its own; yields what became of each, as they end.

    Args:
        root: of the project, which is left as it is.
        seconds: how long the tests of a mistake may take.
    """
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / f"copy{job}" for job in range(jobs)]
        for folder in folders:
            copy_project(root, folder)
        broken = _broken(root, folders, mistakes)
        yield from ((mistake, broken[mistake.name]) for mistake in mistakes if mistake.name in broken)
        yield from _check(root, folders, [mistake for mistake in mistakes if mistake.name not in broken], seconds)


def _broken(root: Path, folders: Sequence[Path], mistakes: Sequence[Mistake]) -> Mapping[str, Outcome]:
    """By name, the mistakes with a test that does not pass without them."""
    tests = sorted({test for mistake in mistakes for test in mistake.tests if (root / test.split("::")[0]).is_file()})
    shares = [share for share in (tests[job :: len(folders)] for job in range(len(folders))) if share]
    runs = [_Run.start(folder, None, share) for folder, share in zip(folders, shares)]
    passed: list[str] = []
    failed: list[str] = []
    try:
        for run in runs:
            run.process.join()
            passed += run.result()["passed"]
            failed += run.result()["failed"]
    finally:
        for run in runs:
            run.stop()
    outcomes = {}
    for mistake in mistakes:
        for test in mistake.tests:
            if any(_is_of(name, test) for name in failed):
                outcomes[mistake.name] = Outcome("broken", 0, f"{test} fails without the mistake")
            elif not any(_is_of(name, test) for name in passed):
                outcomes[mistake.name] = Outcome("broken", 0, f"{test} is not found")
    return outcomes


def _check(
    root: Path, folders: Sequence[Path], mistakes: Sequence[Mistake], seconds: float
) -> Iterator[tuple[Mistake, Outcome]]:
    left, free, runs = list(reversed(mistakes)), list(folders), list[_Run]()
    try:
        while left or runs:
            while left and free:
                mistake, folder = left.pop(), free.pop()
                (folder / mistake.file).write_text(mistake.applied(root), encoding="utf-8")
                runs.append(_Run.start(folder, mistake, mistake.tests))
            wait([run.process.sentinel for run in runs], 1)
            for run in [run for run in runs if not run.process.is_alive() or run.seconds > seconds]:
                runs.remove(run)
                outcome = run.outcome()
                run.stop()
                shutil.copy2(root / run.mistake.file, run.folder / run.mistake.file)
                if run.mistake.file.endswith(COMPILED):
                    copy_project(root, run.folder)
                free.append(run.folder)
                yield run.mistake, outcome
    finally:
        for run in runs:
            run.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 if all mistakes were killed, 1 if not, 2 for a mistake of the user's."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help="of names and files, default all")
    parser.add_argument("--jobs", type=int, default=2, help="at once, default 2")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for a mistake, default 120")
    args = parser.parse_args(argv)
    outcomes: dict[str, Outcome] = {}

    def work() -> None:
        chosen = [m for m in read_mistakes(ROOT) if re.search(args.only, f"{m.file}: {m.name}")]
        if not chosen or args.jobs < 1:
            raise InputError(f"--jobs {args.jobs} --only {args.only}: that is no mistake of {LIST} at all")
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.jobs)))
        start = time.monotonic()
        for mistake, outcome in check(ROOT, chosen, args.jobs, args.timeout):
            outcomes[mistake.name] = outcome
            print(_line(mistake, outcome), flush=True)
        _print_summary(outcomes, time.monotonic() - start)

    return exit_code(work) or int(any(outcome.verdict != "killed" for outcome in outcomes.values()))


def _line(mistake: Mistake, outcome: Outcome) -> str:
    how = f"\n{'':17}{outcome.how}" if outcome.verdict != "killed" or "::" not in outcome.how else ""
    return f"{outcome.verdict:<9}{outcome.seconds:5.1f} s  {mistake.file}: {mistake.name}{how}"


def _print_summary(outcomes: Mapping[str, Outcome], seconds: float) -> None:
    verdicts: list[Any] = [outcome.verdict for outcome in outcomes.values()]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("killed", "survived", "broken"))
    print(f"{len(verdicts)} mistakes: {counts}; {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
