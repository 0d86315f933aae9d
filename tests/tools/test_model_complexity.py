"""The cost of a network against numbers computed by hand, and against what autograd really keeps on a CPU."""

import json
from collections import OrderedDict

import pytest
import torch
from conftest import ROOT, run_script
from shipped_configs import CONFIGS
from text_networks import small_model
from torch import nn

from engine.experiment import load_experiment
from models import build_detector
from tools.model_complexity import Cost, measure

TOOL = "tools/model_complexity.py"


def test_single_convolution_by_hand():
    network = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3, stride=2, padding=1), relu=nn.ReLU()))
    costs = measure(network, batch=2, width=20, height=10)
    pixels = 2 * 5 * 10  # of the output
    assert costs == {
        "conv": Cost(3 * 4 * 9 + 4, 2 * pixels * 3 * 4 * 9, 4 * 2 * 3 * 10 * 20),  # keeps its input
        "relu": Cost(0, 0, 4 * pixels * 4),  # keeps its output
        "total": Cost(112, 21600, 4800 + 1600),
    }


def test_head_by_hand():
    pixels, inputs, hidden = 2 * 16 * 24, 4 * 16, 8  # a batch of two 64x96 images, at stride 4
    head = measure(build_detector(small_model(adapter=False)), batch=2, width=96, height=64)["head"]
    assert head.parameters == (9 * inputs * hidden + hidden) + 2 * hidden + (hidden * 6 + 6)
    assert head.flops == 2 * pixels * (9 * inputs * hidden + hidden * 6)
    maps = inputs + hidden + hidden  # inputs of first convolution, batch norm, second convolution (the ReLU's output)
    assert head.activation_bytes == 4 * (pixels * maps + 2 * hidden)  # and mean and deviation of the batch


def test_visual_transformer_by_hand():
    cost = measure(build_detector(small_model()), batch=1, width=96, height=64)["transformer"]
    c, t = 16, 4
    levels = [16 * 24, 8 * 12, 4 * 6, 2 * 3]
    tokenizer = sum(n * c * t + n * c * t + t * c * c for n in levels)  # attention, pooled pixels, values of these
    encoder = 3 * 16 * c * c + 16 * 16 * c + 16 * 16 * c + 2 * 16 * c * c  # 16 tokens; projections, attention, layers
    projector = sum(3 * t * c * c + 2 * n * c * t for n in levels)  # all projections are of tokens
    assert cost.flops == 2 * (tokenizer + 2 * encoder + projector)
    assert cost.parameters == (c * t + c * c) + (5 * c * c + 2 * c * 16) + 3 * c * c


@pytest.mark.parametrize("depth", [18, 50])
def test_parts_add_up_and_equal_what_autograd_keeps_on_a_cpu(depth):
    detector = build_detector(small_model(depth=depth)).train()
    weights = {tensor.data_ptr() for tensor in detector.state_dict().values()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        detector(torch.zeros(2, 3, 64, 96))
    expected = sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in weights)
    *parts, total = measure(detector, batch=2, width=96, height=64).values()
    assert total == Cost(*(sum(values) for values in zip(*parts)))
    assert total.activation_bytes == expected


def test_costs_grow_with_batch_and_size():
    one, two, wide = (
        measure(build_detector(small_model()), *shape)["backbone"] for shape in ((1, 64, 64), (2, 64, 64), (1, 128, 64))
    )
    assert one.parameters == two.parameters == wide.parameters
    assert two.flops == wide.flops == 2 * one.flops


def test_published_sizes_of_student_and_teacher(tmp_path):
    path = tmp_path / "costs.json"
    output = run_script(TOOL, "config/kkd/distill_ctw.py", "--size", "96x64", "--batch", 2, "--json", path)
    written = json.loads(path.read_text())
    assert written["config"] == "config/kkd/distill_ctw.py" and written["batch"] == 2 and written["size"] == [96, 64]
    costs = written["costs"]
    assert list(costs) == [
        "backbone", "neck", "transformer", "adapter", "head", "total", "teacher config/kkd/r50_ctw.py"
    ]  # fmt: skip
    assert round(costs["total"]["parameters"] / 1e6, 3) == 12.594
    teacher = costs["teacher config/kkd/r50_ctw.py"]
    assert round(teacher["parameters"] / 1e6, 3) == 25.270 and teacher["activation_bytes"] == 0
    rows = {line.split("  ")[0].strip(): line.split()[-3:] for line in output.splitlines() if "  " in line}
    total = costs["total"]
    mebibytes = total["activation_bytes"] / 2**20
    assert rows["total"] == ["12.594", f"{total['flops'] / 1e9:.3f}", f"{mebibytes:.1f}"]
    assert "multiply-add counts as 2" in output and "model.recompute=True" in output
    assert costs["backbone"]["activation_bytes"] > 0


def test_recompute_changes_no_number(tmp_path):
    def costs(value):
        path = tmp_path / "costs.json"
        options = ["--cfg-options", f"model.recompute={value}", "--size", "64x64", "--json", path]
        run_script(TOOL, "config/demo/student.py", *options)
        return json.loads(path.read_text())["costs"]

    assert costs(True) == costs(False)


def _kinds(model: dict) -> str:
    """The types of the parts: sizes make no difference to how they are measured."""
    return repr({name: part["type"] for name, part in model.items() if isinstance(part, dict)})


def test_every_shipped_architecture_is_measured():
    models = {
        _kinds(cfg.model): cfg.model for cfg in map(load_experiment, CONFIGS) if cfg.model["type"] == "TextDetector"
    }
    assert models
    for model in models.values():
        total = measure(build_detector(model), batch=1, width=64, height=64)["total"]
        assert total.parameters > 10_000 and total.flops > 1e6 and total.activation_bytes > 1e5


def test_timm_backbones_are_measured():
    model = {**small_model(), "backbone": dict(type="TimmBackbone", name="convnext_atto")}
    assert measure(build_detector(model), batch=1, width=64, height=64)["backbone"].flops > 1e6


def test_an_object_detector_is_refused():
    assert "not measured" in run_script(TOOL, ROOT / "config/multineck/faster_r50_coco.py", code=2)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--size", "100x64"], "--size 100x64: expected multiples of 32, 64 or more"),
        (["--size", "32x64"], "--size 32x64: expected multiples of 32, 64 or more"),
        (["--batch", "0"], "--batch 0: expected 1 or more"),
        (["--cfg-options", "model.neck.channels=64"], "section 'model' cannot be built"),
    ],
)
def test_mistakes_are_named(options, message):
    output = run_script(TOOL, ROOT / "config/kkd/r18_ctw.py", *options, code=2)
    assert message in output and "Traceback" not in output
