"""Errors of the user or the machine, reported as one line that names the problem and the remedy; signals."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

MEMORY = "smaller images or batches (data.batch_size, --batch-size), fewer workers (data.num_workers)"
SHARED_MEMORY = "data.num_workers=0, or more shared memory (docker run --shm-size=8g)"
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)  # disk full, quota exceeded, file too large
SHARED_FOLDER = "/dev/shm"  # shared memory on Linux
# Messages of libraries, in exceptions without a type of their own, about limits of the machine -> remedy.
MACHINE = {
    r"Expected more than 1 value per channel": "larger images (data.train) or batches (data.batch_size): batch "
    "normalisation takes no deviation of one value",
    r"out of memory|can't allocate memory|not enough memory|Insufficient memory|Failed to allocate": MEMORY,
    r"Connection (closed|reset) by peer|Connection refused|remote process exited|NCCL error": "the same command with "
    "--resume: another process or machine of this run has ended, its own message says why",
    r"shared memory|Bus error|unable to (open|write to|mmap|allocate) .*shared|shm_open": SHARED_MEMORY,
    r"DataLoader worker .* (killed|exited)|process pool was terminated": f"{MEMORY}; where {SHARED_FOLDER} is full, "
    f"{SHARED_MEMORY}",
}

# Without line ends and tabs; surrogates stand for undecodable bytes of a name.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(Exception):
    """A mistake in a file, a config or an option.

    The message is one line that names the file (and line), the field and the remedy. The scripts print it
    without a traceback and exit with code 2; every other exception is a defect of this project.
    """


def exit_code(work: Callable[[], None], debug: bool = False) -> int:
    """Runs a program. Returns 0, or 2 after an error of the user or the machine, which is printed as one line.

    Args:
        work: the program.
        debug: raise the error instead, with its traceback.
    """
    threading.excepthook = _of_thread
    try:
        work()
    except Exception as error:
        if "killed by signal: Terminated" in str(error):
            time.sleep(1)  # the process group is being ended, this process next
        if _Signals.ended_by:
            raise SystemExit(128 + _Signals.ended_by) from error
        line = explain(error) or explain(error.__cause__ or error.__context__)  # a library failed while it cleaned up
        if debug or line is None:
            raise
        say(f"error: {line}", sys.stderr)
        return 2
    return 0


def printable(text: str) -> str:
    """A text with control and bidirectional formatting characters escaped; line ends are kept.

    Names of files, classes and tensors are untrusted: they could clear a terminal, or be displayed misleadingly.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Prints a text that holds untrusted names, on stdout by default."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=file, end=end, flush=True)


def _of_thread(failed: threading.ExceptHookArgs) -> None:
    """Ignores a full disk in a thread that writes a log: the main thread reports the same error once.

    After a signal, the threads of a pool, whose processes have received it, too, fail in many ways.
    """
    if not isinstance(failed.exc_value, OSError) and not _Signals.ended_by:
        threading.__excepthook__(failed)


def explain(error: BaseException | None) -> str | None:
    """One line for an error of the user, a full disk or lack of memory; None for a defect of this project."""
    if error is None:
        return None
    text = _one_line(error)
    if isinstance(error, InputError):
        return text
    if isinstance(error, OSError):  # a folder that cannot be written, a full disk
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in FULL
        remedy = "; what was written before is whole: free space, then go on (training: with --resume)" if full else ""
        if full and not where and _shared_memory_is_full():
            where, remedy = f"{SHARED_FOLDER}: ", f"; try {SHARED_MEMORY}"
        return f"{where}{error.strerror or text}{remedy}"
    remedies = [remedy for pattern, remedy in MACHINE.items() if re.search(pattern, text)]
    if isinstance(error, MemoryError):
        remedies.append(MEMORY)
    return f"{text or 'out of memory'}; try {remedies[0]}" if remedies else None


def _shared_memory_is_full() -> bool:
    return os.path.isdir(SHARED_FOLDER) and shutil.disk_usage(SHARED_FOLDER).free < 2**20


class _Signals:
    line: str | None = None  # printed at the end; None: the signals are left to Python
    ended_by = 0


def end_on_signals(line: str = "interrupted") -> None:
    """Makes Ctrl-C and SIGTERM end the program at any moment: `line`, exit code 130 or 143, no traceback.

    Scripts call it before their slow imports. A second signal, while the first one is being obeyed, is ignored.
    """
    _Signals.line = _Signals.line or line
    restore_signals()


def restore_signals() -> None:
    """Restores the handlers of `end_on_signals` after a library has replaced them; nothing without it."""
    if _Signals.line is None or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, _end)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Blocks Ctrl-C in the block, and for good in processes started in it; no effect on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end(number: int, _: object) -> None:
    if multiprocessing.parent_process() is not None:  # a helper process: Ctrl-C is handled by its parent
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    _Signals.ended_by = number
    os.write(2, f"{_Signals.line}\n".encode())
    raise SystemExit(128 + number)


def _one_line(error: Exception) -> str:
    """Message of an error; of one from a data loading process, which holds a traceback, only the last line."""
    text = str(error).strip()
    if text.startswith("Caught "):
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.splitlines())
