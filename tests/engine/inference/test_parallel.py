"""Work in several processes: order, errors, and that no process is left."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import count

import pytest
from conftest import ROOT
from processes import members, wait_until
from torch.utils.data import DataLoader

from engine.inference.parallel import ordered_map, start_worker
from errors import InputError


def slow_square(number: int) -> int:
    time.sleep(0.002 * (number % 3))  # so that they do not end in order
    return number * number


def fail_at(last: int, error: Exception, number: int) -> int:
    if number == last:
        raise error
    return number


def end_process(_: int) -> None:
    os._exit(1)


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_results_come_in_order_and_few_items_are_on_the_way(processes):
    taken = 0

    def items():
        nonlocal taken
        while taken < 40:
            taken += 1
            yield taken

    results = []
    for result in ordered_map(slow_square, items(), processes, backlog=5):
        results.append(result)
        assert taken - len(results) <= (4 if processes else 0)  # one of the 5 is done
    assert results == [number * number for number in range(1, 41)]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("error", [InputError("a.txt: is wrong; mend it"), ZeroDivisionError("ours")])
def test_an_error_of_a_process_is_raised_and_the_processes_end(processes, error):
    results = ordered_map(partial(fail_at, 5, error), count(), processes, backlog=4)
    with pytest.raises(type(error), match=str(error)):
        list(results)
    assert not multiprocessing.active_children()


def test_an_error_of_the_items_is_raised_and_the_processes_end():
    def items():
        yield 1
        raise InputError("b.jpg: is missing; put it there")

    with pytest.raises(InputError, match=r"b\.jpg"):
        list(ordered_map(slow_square, items(), 2, backlog=4))
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_an_error_not_a_hang():
    with pytest.raises(BrokenProcessPool):
        list(ordered_map(end_process, range(3), 2, backlog=4))


class Unsendable:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, _: int):
        return lambda: "cannot be pickled"


def test_a_sample_that_cannot_be_sent_is_an_error_not_a_hang():
    """It is lost in a thread of the data loading process, as one is for which there is no shared memory."""
    loader = DataLoader(Unsendable(), batch_size=None, num_workers=1, worker_init_fn=start_worker)
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(loader)


GONE_RECEIVER = """
import multiprocessing, os, sys, time
from multiprocessing.connection import Client
from multiprocessing.resource_sharer import DupFd, _resource_sharer
from engine.inference.parallel import start_worker

start_worker(0)
for _ in range(20):
    address, key = DupFd(0)._id
    receiver = Client(address, authkey=multiprocessing.current_process().authkey)
    receiver.send((key, os.getpid()))
    receiver.close()
time.sleep(0.5)
"""


def test_a_receiver_that_ends_while_it_takes_a_batch_is_no_error():
    run = subprocess.run([sys.executable, "-c", GONE_RECEIVER], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_an_iterator_that_is_closed_ends_its_processes():
    results = ordered_map(slow_square, count(), 2, backlog=4)
    assert next(results) == 0
    results.close()
    assert not multiprocessing.active_children()


def work_for_ever(working) -> None:
    os.setsid()  # a group of its own, as a command has in a terminal
    for _ in ordered_map(slow_square, count(), 2, backlog=4):
        working.set()


@pytest.mark.slow  # its deadlines are of the clock: a busy machine may miss them
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs the table of processes of Linux")
@pytest.mark.parametrize("killed", [False, True])
def test_no_process_is_left_after_ctrl_c_or_a_kill(killed):
    context = multiprocessing.get_context("fork")
    working = context.Event()
    parent = context.Process(target=work_for_ever, args=(working,))
    parent.start()
    assert working.wait(20) and len(members(parent.pid)) == 3
    if killed:
        parent.kill()
    else:
        os.killpg(parent.pid, signal.SIGINT)
    parent.join(20)
    assert parent.exitcode == (-signal.SIGKILL if killed else 1)
    wait_until(lambda: not members(parent.pid))
