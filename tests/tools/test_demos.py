"""Both demos in miniature, from their first step to the last file."""

import base64
import html
import json
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import run_script

from engine.inference.export import PACKAGES
from engine.inference.runtimes import DETECTOR
from engine.report.comparison import Difference
from models import build_detector
from models.weights import read_checkpoint
from tools.demo import multineck_report as demo_multineck_report
from tools.demo.text_report import conclusion


@pytest.fixture
def steps_in_this_process(monkeypatch):
    """Runs the commands of a demo as they are, without an interpreter for each, which spends its time on importing."""

    def run(command, check, **options):
        run_script(*command[1:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr("tools.demo.once.subprocess", SimpleNamespace(run=run))


def pictures_of(page: str) -> dict[str, list[np.ndarray | None]]:
    """Pixels of the pictures of a report by what they show; None for those made of lines, the plots."""
    found: dict[str, list[np.ndarray | None]] = {}
    pictures = re.findall(r'<img src="data:image/([\w+]+);base64,([^"]+)" alt="([^"]*)">', page)
    assert len(pictures) == page.count("<img")
    for kind, data, name in pictures:
        raw = base64.b64decode(data)
        if kind == "svg+xml":
            assert b"</svg>" in raw
        pixels = None if kind == "svg+xml" else cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        assert kind == "svg+xml" or pixels is not None
        found.setdefault(html.unescape(name), []).append(pixels)
    return found


def captions_of(page: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<figcaption>([^<]*)</figcaption>", page)]


@pytest.fixture
def nothing_to_export_with(monkeypatch):
    monkeypatch.setattr("engine.inference.export.PACKAGES", ("a package that is not installed",))


def check_text_demo(out: Path, runtimes: list[str]) -> None:
    """What the demo in miniature has left in its folder; `runtimes` are those of the distilled student."""
    summary = json.loads((out / "summary.json").read_text())
    page = (out / "report.html").read_text()
    names = ("teacher", "student_alone", "student")
    for name in names:
        results = json.loads((out / f"{name}_test" / "results.json").read_text())
        assert results["epoch"] == 1 and len(results["per_image"]) == 2
        assert summary[name]["hmean"] == results["hmean"]
        assert f"<td>{results['hmean']:.4f}</td>" in page
        assert summary[name]["parameters"] == own_parameters(out / name)
        assert all(value > 0 for value in summary[name]["milliseconds"].values())
    assert list(summary["student"]["milliseconds"]) == runtimes
    assert list(summary["teacher"]["milliseconds"]) == ["torch"] and not summary["student_alone"]["milliseconds"]
    assert summary["conclusion"] in html.unescape(page)
    pictures = pictures_of(page)
    for title in ("teacher", "student, distilled", "student, alone"):
        [photo] = pictures[f"0009: {title}"]
        assert all(
            pixels.shape == photo.shape for what in ("text", "kernel") for pixels in pictures[f"{what} map: {title}"]
        )
    assert photo.shape == (384, 384, 3)
    predicted = {"distilled student": "predicted"} | ({"detector of weights/": "trained"} if runtimes[1:] else {})
    assert sum(map(len, pictures.values())) == 1 + 2 * 3 * 3 + len(
        predicted
    )  # curves; of two images the networks' three
    found = json.loads((out / "predictions.json").read_text())
    assert found["runtime"] == runtimes[min(1, len(runtimes) - 1)]
    for title, folder in predicted.items():
        assert len(pictures[f"unlabelled.jpg: {title}"]) == 1 and (out / folder / "unlabelled.jpg").is_file()
    assert (out / "trained").is_dir() == ("trained" in predicted.values())
    if runtimes[1:]:
        assert json.loads((out / "trained.json").read_text())["model"] == str(DETECTOR)


def own_parameters(folder: Path) -> int:
    """Number of weights of the network in a folder of a training."""
    config = read_checkpoint(folder / "checkpoint_last.pth.tar")["config"]
    return sum(weights.numel() for weights in build_detector(config["model"]).parameters())


def test_the_text_demo_ends_with_its_report(steps_in_this_process, nothing_to_export_with, tmp_path):
    out = tmp_path / "a demo"
    printed = run_script("tools/demo.py", "--small", "--out", out)
    assert printed.strip().splitlines()[-1] == f"{out / 'report.html'}   {out / 'summary.json'}"
    check_text_demo(out, ["torch"])
    steps = [
        "data",
        "teacher",
        "student_alone",
        "student",
        "teacher_test",
        "student_alone_test",
        "student_test",
        "predict",
    ]
    assert list(json.loads((out / "summary.json").read_text())["seconds"]) == [*steps, "total"]
    assert run_script("tools/demo.py", "--small", "--out", out).count("done before") == len(steps)


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason="requirement-export.txt is not installed")
def test_the_text_demo_exports_its_student(steps_in_this_process, tmp_path):
    run_script("tools/demo.py", "--small", "--out", tmp_path)
    check_text_demo(tmp_path, ["torch", "onnx", "openvino"])


@pytest.mark.parametrize(
    "hmeans, gain, says",
    [
        ((0.8, 0.7, 0.6), (0.01, 0.2), ["is better than both", "made the student better", "excludes zero", "50% of"]),
        ((0.8, 0.7, 0.6), (-0.1, 0.3), ["is better than both", "made the student better", "includes zero", "50% of"]),
        ((0.8, 0.5, 0.6), (-0.2, 0.1), ["is better than both", "made the student worse: 0.500 distilled", "-0.100"]),
        ((0.65, 0.7, 0.6), (0.0, 0.2), ["is not better than both", "made the student better", "+0.100"]),
        ((0.6, 0.6, 0.6), (0.0, 0.0), ["is not better than both", "neither better nor worse: 0.600 distilled"]),
    ],
)
def test_the_text_report_says_what_the_scores_say(hmeans, gain, says):
    teacher, student, alone = hmeans
    found = Difference(student - alone, *gain, effects={})
    sentence = conclusion({"teacher": teacher, "student": student, "student_alone": alone}, found)
    assert all(part in sentence for part in says), sentence
    assert ("of the gap" in sentence) == (student > alone and teacher > student)


def test_the_multineck_demo_ends_with_its_report(steps_in_this_process, tmp_path):
    out = tmp_path / "a demo"
    run_script("tools/demo_multineck.py", "--small", "--out", out)
    summary = json.loads((out / "summary.json").read_text())
    page = (out / "report.html").read_text()
    runs = ["teacher1", "teacher2", "student_without_distillation", "student"]
    for name in runs:
        results = json.loads((out / f"{name}_test" / "results.json").read_text())
        assert summary[name]["ap"] == results["ap"]
        assert f"<td>{results['ap']:.4f}</td>" in page
    assert len(summary["seconds"]) == 11 + 1
    assert summary["conclusion"] == demo_multineck_report.comparison(summary) and summary["conclusion"] in page
    for branch in (1, 2):  # a tenth of the published weights
        for term, weight in {"foreground": 5e-5, "background": 2.5e-5, "relation": 2.5e-7, "object": 2e-7}.items():
            assert f"<td>teacher {branch}</td><td>branch {branch}</td><td>{term}</td><td>{weight:.3g}</td>" in page
    for term, weight in {"foreground": 1e-3, "background": 5e-4, "attention": 5e-4, "relation": 5e-6}.items():
        assert f"<td>teacher 2</td><td>merged pyramid</td><td>{term}</td><td>{weight:.3g}</td>" in page
    captions, pictures = captions_of(page), pictures_of(page)
    # Curves; centres of two teachers; an image, and of two teachers and levels three masks; of two images all runs.
    assert sum(map(len, pictures.values())) == 1 + 2 + (1 + 2 * 2 * 3) + 2 * 4
    assert {
        f"teacher {t}, {p}: {k}" for t in (1, 2) for p in ("P2", "P3") for k in ("centres", "proposals", "product")
    } <= {*captions}


@pytest.mark.parametrize(
    "distilled, alone, says",
    [(0.1, 0.3, "distillation made it worse"), (0.3, 0.1, "made it better"), (0.1, 0.1, "neither better nor worse")],
)
def test_the_multineck_report_says_what_distillation_did(distilled, alone, says):
    scores = {"student": distilled, "student_without_distillation": alone, "teacher1": 0.2, "teacher2": 0.4}
    sentence = demo_multineck_report.comparison({name: {"ap": ap} for name, ap in scores.items()})
    assert says in sentence and f"distilled {distilled:.4f}, alone {alone:.4f}" in sentence
    assert ("Teacher 1 (AP 0.2000) is not better than the student alone" in sentence) == (alone == 0.3)
    assert "Teacher 2" not in sentence


@pytest.mark.parametrize("script", ["tools/demo.py", "tools/demo_multineck.py"])
def test_a_demo_that_fails_ends_in_one_line(script, tmp_path):
    (tmp_path / "file").touch()
    printed = run_script(script, "--small", "--out", tmp_path / "file" / "demo", code=2)
    assert "Traceback" not in printed and printed.strip().splitlines()[-1].startswith("error: ")
