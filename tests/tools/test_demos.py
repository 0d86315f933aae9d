"""Both demos in miniature, from their first step to the last file."""

import base64
import html
import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import run_script

from tools.demo import multineck_report as demo_multineck_report


@pytest.fixture
def steps_in_this_process(monkeypatch):
    """Runs the commands of a demo as they are, without an interpreter for each, which spends its time on importing."""

    def run(command, check, **options):
        run_script(*command[1:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr("tools.demo.once.subprocess", SimpleNamespace(run=run))


def pictures_of(page: str) -> list[tuple[str, np.ndarray]]:
    """Captions and pixels of all pictures of a report."""
    found = re.findall(r'<img src="data:image/\w+;base64,([^"]+)" alt="([^"]*)">', page)
    assert len(found) == page.count("<img")
    return [
        (html.unescape(caption), cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR))
        for data, caption in found
    ]


def test_the_text_demo_ends_with_its_report(steps_in_this_process, tmp_path):
    out = tmp_path / "a demo"
    printed = run_script("tools/demo.py", "--small", "--out", out)
    assert printed.strip().splitlines()[-1] == f"{out / 'report.html'}   {out / 'summary.json'}"
    summary = json.loads((out / "summary.json").read_text())
    page = (out / "report.html").read_text()
    for name in ("teacher", "student"):
        results = json.loads((out / f"{name}_test" / "results.json").read_text())
        assert results["epoch"] == 1 and len(results["per_image"]) == 2
        assert summary[name]["hmean"] == results["hmean"]
        assert f"<td>{results['hmean']:.4f}</td>" in page
    assert list(summary["seconds"]) == ["data", "teacher", "student", "teacher_test", "student_test", "total"]
    pictures = pictures_of(page)
    assert len(pictures) == 1 + 2 * 2 * 3  # curves; of two images and two networks the detections and two maps
    assert [caption for caption, _ in pictures].count("student: kernel map") == 2
    assert all(pixels is not None and pixels.size > 100 for _, pixels in pictures)
    assert run_script("tools/demo.py", "--small", "--out", out).count("done before") == 5


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
    assert demo_multineck_report.comparison(summary) in page
    captions = [caption for caption, _ in pictures_of(page)]
    # Curves; centres of two teachers; an image, and of two teachers and levels three masks; of two images all runs.
    assert len(captions) == 1 + 2 + (1 + 2 * 2 * 3) + 2 * 4
    assert {
        f"teacher {t}, {p}: {k}" for t in (1, 2) for p in ("P2", "P3") for k in ("centres", "proposals", "product")
    } <= {*captions}
    assert all(pixels is not None and pixels.size > 100 for _, pixels in pictures_of(page))


@pytest.mark.parametrize(
    "distilled, alone, says",
    [(0.1, 0.3, "distillation made it worse"), (0.3, 0.1, "made it better"), (0.1, 0.1, "neither better nor worse")],
)
def test_the_multineck_report_says_what_distillation_did(distilled, alone, says):
    summary = {"student": {"ap": distilled}, "student_without_distillation": {"ap": alone}}
    sentence = demo_multineck_report.comparison(summary)
    assert says in sentence and f"distilled {distilled:.4f}, alone {alone:.4f}" in sentence


@pytest.mark.parametrize("script", ["tools/demo.py", "tools/demo_multineck.py"])
def test_a_demo_that_fails_ends_in_one_line(script, tmp_path):
    (tmp_path / "file").touch()
    printed = run_script(script, "--small", "--out", tmp_path / "file" / "demo", code=2)
    assert "Traceback" not in printed and printed.strip().splitlines()[-1].startswith("error: ")
