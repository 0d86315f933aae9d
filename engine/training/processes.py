"""The processes of a training run, on one machine or on several."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from errors import InputError


@dataclass(frozen=True)
class Processes:
    """How many there are.

    Attributes:
        devices: on each machine: one a GPU, or processes on the CPU.
        nodes: machines.
        device: kind of device.
    """

    devices: int
    nodes: int
    device: torch.device

    @property
    def number(self) -> int:
        return self.devices * self.nodes

    def __str__(self) -> str:
        if self.device.type == "cuda":
            each = f"{self.devices} x {torch.cuda.get_device_name(self.device)}"
        else:
            processes = f"{self.devices} processes" if self.devices > 1 else "1 process"
            each = f"CPU, {processes} of {torch.get_num_threads()} threads"
        return f"{self.nodes} machines, each {each}" if self.nodes > 1 else each


def processes_of(
    args: argparse.Namespace, device: torch.device, environment: Mapping[str, str] = os.environ
) -> Processes:
    """The processes that `--devices`, `--nodes` and the launcher ask for.

    By default all visible GPUs of one machine, or one process on the CPU; under torchrun, what it has started.

    Raises:
        InputError: a number that there is not, that contradicts torchrun, or an option that the device does not take.
    """
    started = _started_by_torchrun(environment)
    asked = {"devices": args.devices, "nodes": args.nodes}
    for name, number in asked.items():
        if started and number not in (None, started[name]):
            raise InputError(f"--{name} {number}: torchrun has started {started[name]}; leave the option out")
    available = torch.cuda.device_count() if device.type == "cuda" else None
    chosen = {"devices": available or 1, "nodes": 1} | {k: v for k, v in asked.items() if v is not None} | started
    devices, nodes = chosen["devices"], chosen["nodes"]
    if nodes < 1:
        raise InputError(f"--nodes {nodes}: expected 1 or more machines")
    if devices < 1 or devices > (available or devices):
        most = "1 or more processes" if available is None else f"1 to {available}, the GPUs that PyTorch sees"
        raise InputError(f"--devices {devices}: expected {most}")
    if args.sync_batchnorm and device.type != "cuda":
        raise InputError("--sync-batchnorm: PyTorch has it for GPUs alone; leave it out on a CPU")
    return Processes(devices, nodes, device)


def _started_by_torchrun(environment: Mapping[str, str]) -> dict[str, int]:
    if "TORCHELASTIC_RUN_ID" not in environment:
        return {}
    return {"devices": int(environment["LOCAL_WORLD_SIZE"]), "nodes": int(environment["GROUP_WORLD_SIZE"])}
