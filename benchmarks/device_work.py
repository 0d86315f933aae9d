"""Work of a network, time that a device takes for it, and best rates of the device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import DeviceType, ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
_LARGEST_SIDE = 16384
_MOST_RUNS = 200


class Work(NamedTuple):
    """One convolution or matrix product.

    Attributes:
        flops: multiplications and additions.
        moved: bytes of its operands and results, each once.
    """

    flops: int
    moved: int


class Limits(NamedTuple):
    """Best rates measured on a device: FLOPs a second of matrix products, bytes a second read and written."""

    flops: float
    bandwidth: float

    def seconds(self, works: list[Work]) -> float:
        """Least time for some work: of each piece, computing or moving, whichever takes longer."""
        return sum(max(work.flops / self.flops, work.moved / self.bandwidth) for work in works)


class WorkCounter(TorchDispatchMode):
    """Collects the convolutions and matrix products that are run inside it, backward passes too.

    All else (norms, activations, additions, resizing) could ride along with them, and is not counted. Does not see
    into compiled code or inference mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.works: list[Work] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        flops = flop_registry.get(func.overloadpacket)
        if flops is not None:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            self.works.append(Work(flops(*args, **kwargs, out_val=out), moved))
        return out


def count_work(run: Callable[[], Any]) -> list[Work]:
    """The convolutions and matrix products of a run."""
    with WorkCounter() as counter:
        run()
    return counter.works


@contextmanager
def multiplying(precision: str) -> Iterator[None]:
    """Whether float32 factors are rounded to TF32 on a GPU: for 'tf32' alone. The settings are put back."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, value in zip(backends, before):
            backend.allow_tf32 = value


def mixed(precision: str, device: torch.device) -> AbstractContextManager:
    """Mixed precision for 'bf16', nothing for the others."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def median_seconds(run: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Median time of a run, of as many as fill `seconds`, three at least; two are run before and not counted.

    On a GPU the runs are queued one after the other, and the time is that between their ends there.
    """
    run()
    _synchronise(device)
    begin = time.perf_counter()
    run()
    _synchronise(device)
    runs = min(max(round(seconds / (time.perf_counter() - begin)), 3), _MOST_RUNS)
    if device.type == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 1)]
        marks[0].record()
        for mark in marks[1:]:
            run()
            mark.record()
        torch.cuda.synchronize(device)
        return statistics.median(a.elapsed_time(b) for a, b in pairwise(marks)) / 1000
    times = [time.perf_counter()]
    for _ in range(runs):
        run()
        times.append(time.perf_counter())
    return statistics.median(b - a for a, b in pairwise(times))


def most_flops(precision: str, device: torch.device, seconds: float) -> float:
    """Multiplications and additions a second: the best of square matrix products of growing size, until one takes
    `seconds`."""
    kind, flops, side = PRECISIONS[precision], 0.0, 256
    with multiplying(precision):
        while side <= _LARGEST_SIDE:
            a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
            took = median_seconds(lambda a=a, b=b: a @ b, device, seconds)
            flops, side = max(flops, 2 * side**3 / took), 2 * side
            if took > seconds:
                break
    return flops


def most_bandwidth(device: torch.device, seconds: float) -> float:
    """Bytes a second, read and written, of copies that no cache holds."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds(lambda: target.copy_(source), device, seconds)


def busy_share(
    run: Callable[[], Any], device: torch.device, seconds: float, most: int = 5
) -> tuple[float, list[tuple[str, float]]]:
    """Share of the time of a run in which the device computes, from the profiler.

    Args:
        seconds: what a run takes without the profiler, which slows down all but the kernels of a GPU.
        most: names to return.

    Returns:
        On a GPU the time inside kernels over `seconds`, on a CPU that inside operators over that of the profiled run;
        and the kernels or operators of most time with their share of it all.
    """
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * (device.type == "cuda")]) as profiler:
        begin = time.perf_counter()
        run()
        _synchronise(device)
        profiled = time.perf_counter() - begin
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        if device.type == "cpu":
            times[event.key] = event.self_cpu_time_total / 1e6
        elif event.device_type == DeviceType.CUDA and not event.is_user_annotation:  # which spans kernels
            times[event.key] = event.self_device_time_total / 1e6
    total = sum(times.values())
    first = sorted(times.items(), key=lambda item: -item[1])[:most]
    return total / (seconds if device.type == "cuda" else profiled), [(name, value / total) for name, value in first]


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
