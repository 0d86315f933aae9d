"""Images of a test set through a network in batches, so that host and device work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.inference.flow import same_size_batches
from engine.precision import autocast
from engine.tasks.base import NetworkInput, NetworkOutput
from errors import InputError

Network = Callable[[Tensor, list[tuple[int, int]]], list[dict[str, Tensor]]]  # images, sizes: see Task.network


def start(
    network: Network, inputs: Sequence[NetworkInput], device: torch.device, precision: str
) -> Callable[[], list[NetworkOutput]]:
    """Runs a network on images of one size; the function returned waits for the outputs, one for each image.

    On a GPU the work is only queued here.
    """
    images = [item.image for item in inputs]
    on_gpu = device.type == "cuda"
    # Page-locked memory, which asynchronous copies from and to a GPU need.
    batch = torch.empty(len(images), *images[0].shape, memory_format=torch.channels_last, pin_memory=on_gpu)
    torch.stack(images, out=batch)
    with torch.inference_mode():
        with autocast(precision, device):
            outputs = network(batch.to(device, non_blocking=True), [item.size for item in inputs])
        outputs = [{name: _to_host(value) for name, value in output.items()} for output in outputs]
    done = torch.cuda.current_stream(device).record_event(torch.cuda.Event(blocking=True)) if on_gpu else None

    def fetch() -> list[NetworkOutput]:
        if done is not None:
            done.synchronize()
        arrays = [{name: value.numpy() for name, value in output.items()} for output in outputs]
        return [
            _checked(NetworkOutput(item.key, item.size, item.original_size, own), precision)
            for item, own in zip(inputs, arrays)
        ]

    return fetch


def network_outputs(
    network: Network,
    inputs: Iterable[NetworkInput],
    device: torch.device,
    precision: str,
    batch_size: int,
) -> Iterator[NetworkOutput]:
    """Runs a network over a test set.

    Each batch is queued before the outputs of the one before are yielded: a GPU has work while the caller processes
    these.
    """
    fetch: Callable[[], list[NetworkOutput]] = list  # no outputs yet
    for batch in same_size_batches(inputs, batch_size):
        queued = start(network, batch, device, precision)
        yield from fetch()
        fetch = queued
    yield from fetch()


def _checked(output: NetworkOutput, precision: str) -> NetworkOutput:
    for name, array in output.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            remedy = "--precision 32" if precision != "32" else "another checkpoint: these weights have diverged"
            raise InputError(f"image {output.key}: the {name} that the network computes are not finite; try {remedy}")
    return output


def _to_host(value: Tensor) -> Tensor:
    """Copy on the host; from a GPU it is only queued, into page-locked memory."""
    value = value.float() if value.is_floating_point() else value
    return value.contiguous().to("cpu", non_blocking=True)
