"""The benchmark of the networks: work against numbers computed by hand, and every row of the table at a tiny size."""

import itertools
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_script
from torch import nn

sys.path.append(str(ROOT / "benchmarks"))

from device_work import Limits, Work, count_work, multiplying


def test_a_convolution_by_hand():
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    image = torch.zeros(2, 3, 10, 20)
    flops = 2 * (2 * 4 * 5 * 10) * (3 * 3 * 3)  # two for each of 27 multiply-adds of each output
    inputs, weights, outputs = 2 * 3 * 10 * 20, 4 * 27, 2 * 4 * 5 * 10
    with torch.no_grad():
        assert count_work(lambda: conv(image)) == [Work(flops, 4 * (inputs + weights + 4 + outputs))]
        with torch.autocast("cpu", torch.bfloat16):
            assert count_work(lambda: conv(image)) == [Work(flops, 2 * (inputs + weights + 4 + outputs))]
    image.requires_grad_()
    forward, backward = count_work(lambda: conv(image).sum().backward())
    assert forward.flops == flops and backward.flops == 2 * flops  # gradients of input and of weights
    assert backward.moved == 4 * (outputs + 2 * inputs + 2 * weights + 4)  # reads three, writes three


def test_a_matrix_product_by_hand_and_nothing_else():
    a, b = torch.ones(5, 7), torch.ones(7, 3)
    assert count_work(lambda: torch.relu(a @ b + 1)) == [Work(2 * 5 * 7 * 3, 4 * (35 + 21 + 15))]


def test_least_time_is_that_of_computing_or_moving():
    limits = Limits(flops=100.0, bandwidth=10.0)
    assert limits.seconds([Work(200, 10), Work(100, 30), Work(0, 5)]) == 2 + 3 + 0.5


def test_rounding_to_tf32_is_put_back():
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for precision in ("float32", "tf32", "bf16"):
        with pytest.raises(RuntimeError), multiplying(precision):
            assert [backend.allow_tf32 for backend in backends] == [precision == "tf32"] * 2
            raise RuntimeError
        assert [backend.allow_tf32 for backend in backends] == before


def test_every_row_is_there(configs, tmp_path):
    path = tmp_path / "speed.json"
    output = run_script(
        "benchmarks/network_speed.py", "--config", configs["student"], "--device", "cpu", "--short-size", 96,
        "--batches", 1, 2, "--train-batch", 2, "--images", 2, "--seconds", 0.001, "--json", path,
    )  # fmt: skip
    written = json.loads(path.read_text())
    assert written["size"] == [96, 160] and written["limits"].keys() == {"float32", "bf16"}
    works = [("forward", 1), ("forward", 2), ("training step", 2)]
    expected = [("student", *work, p, "eager") for p, work in itertools.product(("float32", "bf16"), works)]
    rows = {tuple(row[key] for key in ("config", "work", "batch", "precision", "mode")): row for row in written["rows"]}
    assert list(rows) == expected and all(f"| {' | '.join(map(str, row))} |" in output for row in expected)
    gflops = [row["gflops"] for row in rows.values()]
    assert gflops[1] == 2 * gflops[0] and gflops[3:] == gflops[:3]
    assert 2.5 < gflops[2] / (gflops[1] * 96 / 160) < 3.1  # backward costs twice what forward does; crops are square
    values = [value for row in rows.values() for value in row.values() if isinstance(value, float)]
    values += [value for limit in written["limits"].values() for value in limit.values()]
    assert [(p["precision"], p["batch"]) for p in written["pipelines"]] == [
        (precision, batch) for precision in ("float32", "bf16") for batch in (1, 2)
    ]
    for pipeline in written["pipelines"]:
        assert {"decode", "resize", "network", "post_processing", "write", "images_per_second"} < pipeline.keys()
        values += [value for value in pipeline.values() if isinstance(value, float)]
    assert all(math.isfinite(value) and value > 0 for value in values)


@pytest.mark.slow
def test_one_script_runs_all_that_a_gpu_has_to_show(configs):
    command = ["sh", ROOT / "benchmarks/gpu.sh", "--config", configs["student"], "--device", "cpu", "--short-size", 96]
    command += ["--batches", 1, "--train-batch", 2, "--images", 2, "--seconds", 0.001, "--modes", "eager"]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([*map(str, command)], env=environment, cwd="/", capture_output=True, text=True, check=True)
    tests, eager, compiled = done.stdout.split("== ")
    assert " passed" in tests and eager.startswith("eager, at most ") and compiled.startswith("compiled, at most ")
    assert all(part.count("| student | forward | 1 | bf16 | eager |") == 1 for part in (eager, compiled))
