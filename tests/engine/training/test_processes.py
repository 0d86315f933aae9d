"""Training in several processes: on one machine, and on two that torchrun starts.

These are both on the loopback device, or hosts of their own in network namespaces, where that is allowed.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import ROOT, run_process, run_script
from processes import descendants, wait_until

from engine.training.processes import Processes, processes_of
from errors import InputError
from models.weights import read_checkpoint

CPU = torch.device("cpu")
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "3"}
FROZEN = """
import sys
sys.path.insert(0, {root!r})
from torch import nn
from engine import cli
from engine.training.module import TrainingModule
from engine.training.run import train

before = TrainingModule.on_train_batch_start


def with_frozen_norms(self, batch, index):
    before(self, batch, index)
    for module in self.learner.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


TrainingModule.on_train_batch_start = with_frozen_norms
if __name__ == "__main__":
    parser = cli.parser("")
    parser.add_argument("config")
    cli.training_options(parser)
    cli.run(lambda args: train(cli.load(args), args, "run"), parser)
"""


def options(devices=None, nodes=None, sync_batchnorm=False) -> argparse.Namespace:
    return argparse.Namespace(devices=devices, nodes=nodes, sync_batchnorm=sync_batchnorm)


def test_what_is_used_is_what_was_asked_for_or_started():
    assert processes_of(options(), CPU, {}) == Processes(1, 1, CPU)
    assert processes_of(options(2, 3), CPU, {}).number == 6
    assert processes_of(options(), CPU, TORCHRUN) == processes_of(options(2, 3), CPU, TORCHRUN) == Processes(2, 3, CPU)
    for asked in (options(4), options(nodes=2)):
        with pytest.raises(InputError, match=r"torchrun has started [23]; leave the option out"):
            processes_of(asked, CPU, TORCHRUN)
    with pytest.raises(InputError, match="--nodes 0: expected 1 or more machines"):
        processes_of(options(nodes=0), CPU, {})
    with pytest.raises(InputError, match="for GPUs alone"):
        processes_of(options(sync_batchnorm=True), CPU, {})


def test_all_visible_gpus_are_used_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA X")
    gpu = torch.device("cuda")
    assert str(processes_of(options(), gpu, {})) == "4 x NVIDIA X"
    assert str(processes_of(options(2, 2), gpu, {})) == "2 machines, each 2 x NVIDIA X"
    with pytest.raises(InputError, match="--devices 5: expected 1 to 4, the GPUs that PyTorch sees"):
        processes_of(options(5), gpu, {})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Host(NamedTuple):
    """Where a "machine" runs: what its commands begin with, its address and its network device."""

    prefix: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    device: str = "lo"


LOOPBACK = (Host(), Host())


@pytest.fixture
def namespaces():
    """Three hosts; cables lead from the second and the third to a bridge in the first."""
    names = [f"kkd{os.getpid()}{end}" for end in "abc"]
    devices = ["bridge", names[1], names[2]]
    hosts = [
        Host(("ip", "netns", "exec", name), f"10.77.0.{n}", device)
        for n, (name, device) in enumerate(zip(names, devices), 1)
    ]
    first, *others = names
    commands = [f"ip netns add {name}" for name in names]
    commands.append(f"ip -n {first} link add bridge type bridge")
    for name in others:
        commands.append(f"ip link add to{name} netns {first} type veth peer name {name} netns {name}")
        commands.append(f"ip -n {first} link set to{name} master bridge up")
    for name, host in zip(names, hosts):
        commands += [f"ip -n {name} address add {host.address}/24 dev {host.device}", f"ip -n {name} link set lo up"]
        commands.append(f"ip -n {name} link set {host.device} up")
    try:
        for command in commands:
            try:
                done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            except FileNotFoundError:
                pytest.skip("the program ip is not installed (package iproute2)")
            if done.returncode:
                pytest.skip(f"network namespaces are not allowed here: {command}: {done.stderr.strip()}")
        yield hosts
    finally:
        for name in names if shutil.which("ip") else ():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def start_nodes(*arguments: object, hosts: Sequence[Host] = LOOPBACK) -> list[subprocess.Popen]:
    """Starts a script by torchrun on several "machines", one process each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", len(hosts), "--nproc-per-node", 1]
    launcher += ["--master-addr", hosts[0].address, "--master-port", free_port()]
    running = []
    for node, host in enumerate(hosts):
        own = ["--node-rank", node, "--local-addr", host.address, *arguments]
        command = [str(part) for part in (*host.prefix, *launcher, *own)]
        options = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        environment = os.environ | {"GLOO_SOCKET_IFNAME": host.device}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, **options))
    return running


def end(node: subprocess.Popen) -> None:
    """Kills a node: torchrun, and what it has started, each in a session of its own."""
    for pid in [*descendants(node.pid), node.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_nodes(*arguments: object, hosts: Sequence[Host] = LOOPBACK) -> list[str]:
    """Output of each node of a run that ends well."""
    running = start_nodes(*arguments, hosts=hosts)
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert not any(process.returncode for process in running), "\n".join(outputs)
    return outputs


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["state_dict"]


@pytest.fixture
def frozen(tmp_path):
    script = tmp_path / "frozen.py"
    script.write_text(FROZEN.format(root=str(ROOT)))
    return script


def test_two_machines_train_as_one(configs, frozen, tmp_path):
    """To rounding as one process with the whole batch, bit for bit as two processes; each message comes once."""
    common = [frozen, configs["student"], "--device", "cpu", "--cfg-options", "train_cfg.optimizer=SGD"]
    common += ["train_cfg.lr=0.05", "train_cfg.epoch=1", "train_cfg.val_interval=0", "loss.embedding_version=1"]
    one, two, nodes = (tmp_path / name for name in ("one", "two", "nodes"))
    run_process(*common, "--work-dir", one)
    run_process(*common, "--work-dir", two, "--devices", 2)
    first, second = run_nodes(*common, "--work-dir", nodes, "--nodes", 2)
    assert "2 machines, each CPU, 1 process of 1 threads, precision 32" in first
    for said in ("2 machines, each", "6 images", "epoch 1: test split", "done: "):
        assert said in first and said not in second
    for key, value in weights(nodes).items():
        assert torch.equal(value, weights(two)[key]), key
        torch.testing.assert_close(value, weights(one)[key], rtol=1e-3, atol=5e-6)
    assert weights(nodes)["head.conv2.bias"].abs().max() > 2e-5  # it begins at zero
    assert sorted(path.name for path in nodes.iterdir()) == sorted(path.name for path in two.iterdir())


def end_one_of_two(command: Sequence[object], folder: Path, hosts: Sequence[Host]) -> int:
    """Kills the second of two machines after an epoch, waits for the first, and returns the last epoch."""
    first, second = start_nodes(*command, hosts=hosts)
    try:
        wait_until((folder / "resume.ckpt").exists, 120)
        end(second)
        killed = time.monotonic()
        output = first.communicate(timeout=60)[0]
        assert first.returncode and time.monotonic() - killed < 60
        assert "another process or machine of this run has ended" in output
        assert "error: " in output
    finally:
        for process in (first, second):
            end(process)
            process.wait()
    return read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"]


ENDLESS = ["train_cfg.val_interval=0", "train_cfg.save_interval=1000", "train_cfg.epoch=1000"]


def test_a_machine_that_dies_ends_the_other_and_one_goes_on_alone(configs, tmp_path):
    folder = tmp_path / "run"
    command = ["train.py", configs["student"], "--device", "cpu", "--work-dir", folder]
    done = end_one_of_two([*command, "--cfg-options", *ENDLESS], folder, LOOPBACK)
    output = run_script(*command, "--resume", "--cfg-options", *ENDLESS[:-1], f"train_cfg.epoch={done + 1}")
    assert "devices (was 2, is 1)" in output
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == done + 1


def test_hosts_distil_one_dies_and_three_go_on(configs, tmp_path, namespaces):
    run_script("train.py", configs["teacher"], "--work-dir", tmp_path, "--cfg-options", "train_cfg.epoch=1")
    folder, teacher = tmp_path / "run", tmp_path / "checkpoint_last.pth.tar"
    command = ["knowledge_distillation_train.py", configs["distill"], "--checkpoint_t", teacher, "--device", "cpu"]
    command += ["--work-dir", folder]
    done = end_one_of_two([*command, "--cfg-options", "data.batch_size=6", *ENDLESS], folder, namespaces[:2])
    command += ["--resume", "--cfg-options", "data.batch_size=6", *ENDLESS[:-1], f"train_cfg.epoch={done + 1}"]
    first, *others = run_nodes(*command, hosts=namespaces)
    assert "devices (was 2, is 3)" in first and "3 machines, each CPU" in first
    assert not any("(was 2" in output for output in others)
    assert read_checkpoint(folder / "checkpoint_last.pth.tar")["epoch"] == done + 1
