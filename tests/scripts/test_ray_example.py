"""The program of docs/scale.md that spreads pictures with Ray."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

from engine.inference.predictor import Predictor

pytest.importorskip("ray", reason="pip install -r requirement-ray.txt")


def test_the_program_finds_in_every_picture_what_the_predictor_finds(tmp_path):
    [program] = re.findall(r"^```python\n(import json.*?)^```", (ROOT / "docs/scale.md").read_text(), re.M | re.S)
    script, folder, out = tmp_path / "detect.py", tmp_path / "pictures", tmp_path / "out"
    script.write_text(program)
    run_script("tools/make_synthetic.py", folder, "--train", 3, "--test", 2, "--size", "320x240")
    pictures = sorted(map(str, folder.rglob("*.jpg")))
    (folder / "broken.jpg").write_bytes(b"no picture")
    command = [sys.executable, script, folder, out, "2"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for file in out.iterdir() for line in file.read_text().splitlines()]
    found = {row["path"]: row for row in (json.loads(row["line"]) for row in rows)}
    assert len(rows) == 6 and found.keys() == {*pictures, str(folder / "broken.jpg")}
    assert "broken.jpg" in found[str(folder / "broken.jpg")]["error"]
    predictor = Predictor.load(threads=1)
    expected = {path: [[d.polygon.tolist(), float(d.score)] for d in predictor(path)] for path in pictures}
    assert {path: found[path]["detections"] for path in pictures} == expected and sum(map(len, expected.values())) > 5
