"""--compile: what is compiled, and that nothing else changes. The backend `eager` traces, and generates no code."""

import json

import pytest
import torch
from conftest import run_script
from object_networks import small_rcnn
from torch._dynamo.utils import counters
from training_record import recorded

from engine.compiling import compile_networks
from errors import InputError
from models.objects.rcnn import build_rcnn


@pytest.fixture(autouse=True)
def fresh():
    """Nothing compiled before, and nothing left."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def traced() -> int:
    """Calls of functions that were traced as a whole or in parts."""
    return counters["frames"]["ok"]


def test_a_distillation_compiles_student_and_teacher(configs, tmp_path):
    def train(name: str, *more: str) -> list:
        taught = () if name == "teacher" else ("--checkpoint_t", tmp_path / "teacher" / "checkpoint_last.pth.tar")
        script = "train.py" if name == "teacher" else "knowledge_distillation_train.py"
        place = ("--work-dir", tmp_path / name, "--device", "cpu", "--max-steps", 2)
        with recorded() as steps:
            run_script(script, configs["teacher" if name == "teacher" else "distill"], *place, *taught, *more,
                       "--cfg-options", "data.test=None")  # fmt: skip
        return steps

    train("teacher")
    plain = train("plain")
    assert traced() == 0
    compiled = train("compiled", "--compile", "eager")
    assert traced() >= 2  # a network each
    for one, two in zip(plain, compiled, strict=True):
        for a, b in zip(one.gradients, two.gradients):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_testing_finds_the_same(configs, tmp_path):
    run_script("train.py", configs["student"], "--work-dir", tmp_path, "--device", "cpu", "--max-steps", 1,
               "--cfg-options", "data.test=None")  # fmt: skip
    scores = []
    for more in ((), ("--compile", "eager")):
        assert traced() == 0
        command = ["test.py", configs["student"], tmp_path / "checkpoint_last.pth.tar", "--device", "cpu"]
        run_script(*command, "--work-dir", tmp_path / "scores", *more, "--cfg-options", "test_cfg.min_score=0.0")
        scores.append(json.loads((tmp_path / "scores" / "results.json").read_text())["hmean"])
    assert traced() >= 1 and scores[0] == scores[1]


def test_backbone_and_neck_of_an_object_detector():
    torch.manual_seed(0)
    detector = build_rcnn(small_rcnn(neck="MultiNeckFPN")).eval()
    images, names = torch.randn(1, 3, 64, 96), list(detector.state_dict())
    with torch.no_grad():
        expected = detector.features(images)[0]
        compile_networks([detector], "eager")
        found = detector.features(images)[0]
    assert traced() >= 2 and list(detector.state_dict()) == names
    for level, own in expected.items():
        torch.testing.assert_close(found[level], own)


def test_a_config_is_no_backend(configs):
    printed = run_script("train.py", "--compile", configs["student"], code=2)
    assert "student.py' is no backend; put --compile behind the config" in printed.splitlines()[-1]


def test_an_unknown_backend_is_named():
    with pytest.raises(InputError, match=r"--compile nothing: unknown, torch has .*inductor"):
        compile_networks([], "nothing")
