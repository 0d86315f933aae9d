"""`python -m eval`: what it prints and writes, and what it says about mistakes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from eval import PROTOCOLS, write_results
from eval.__main__ import main, table

LABEL = "100,50,130,70,0,0,5,0,10,0,15,0,20,0,25,0,30,0,30,20,25,20,20,20,15,20,10,20,5,20,0,20"
SQUARE = np.array([[100, 50], [130, 50], [130, 70], [100, 70]])
LABELS = {
    "ctw1500": ("{}.txt", LABEL),
    "total_text": (
        "poly_gt_{}.txt",
        "x: [[100 130 130 100]], y: [[50 50 70 70]], ornt: [u'h'], transcriptions: [u'']",
    ),
    "icdar2015": ("gt_{}.txt", "100,50,130,50,130,70,100,70,a"),
    "msra_td500": ("{}.gt", "0 0 100 50 30 20 0"),
}


@pytest.fixture
def data(tmp_path):
    """For each protocol ground truth of two images, one text each, and results for the first."""
    for protocol, (name, label) in LABELS.items():
        folder = tmp_path / protocol / "gt"
        folder.mkdir(parents=True)
        for image in ("1001", "1002"):
            (folder / name.format(image)).write_text(label + "\n")
        write_results(protocol, tmp_path / protocol / "pred", {"1001": [SQUARE]})
    return tmp_path


def arguments(data, protocol="ctw1500"):
    return [protocol, "--gt", str(data / protocol / "gt"), "--pred", str(data / protocol / "pred")]


def run(*arguments):
    command = [sys.executable, "-m", "eval", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_command_line(data):
    done = run(*arguments(data), "--json", data / "new" / "scores.json")
    assert done.returncode == 0 and done.stderr == ""
    header, row, note = done.stdout.splitlines()
    assert header.split() == ["protocol", "variant", "precision", "recall", "hmean", "images"]
    assert row.split() == ["ctw1500", "official", "1.0000", "0.5000", "0.6667", "2"]
    assert note == "1 image(s) without a result file"
    assert [f.name for f in (data / "new").iterdir()] == ["scores.json"]


@pytest.mark.parametrize("protocol", LABELS)
def test_each_protocol_and_variant(data, capsys, protocol):
    for variant in (None, *PROTOCOLS[protocol].variants):
        options = [] if variant is None else ["--variant", variant]
        assert main([*arguments(data, protocol), *options, "--json", str(data / "scores.json")]) == 0
        row = capsys.readouterr().out.splitlines()[1].split()
        scores = json.loads((data / "scores.json").read_text())
        left_out = (protocol, variant) == ("ctw1500", "kkdnet")
        recall, names = (1, {"1001"}) if left_out else (0.5, {"1001", "1002"})
        assert (scores["protocol"], scores["variant"]) == (protocol, variant or "official") == tuple(row[:2])
        assert (scores["precision"], scores["recall"]) == (1, recall) == (float(row[2]), float(row[3]))
        assert scores["hmean"] == pytest.approx(2 * recall / (1 + recall))
        assert set(scores["per_image"]) == names and scores["images"] == len(names)
        assert scores["images_without_result"] == 1
        assert table(scores).splitlines()[1].split() == row


def test_help_lists_protocols_and_variants_and_fits_a_screen(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and len(text.splitlines()) <= 40
    words = " ".join(text.split())
    for name, protocol in PROTOCOLS.items():
        assert f"{name}: {', '.join(protocol.variants)}" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"protocol": "ctw150"},
            "protocol 'ctw150' is unknown (there is ctw1500, total_text, icdar2015, msra_td500): did you mean ctw1500?",
        ),
        ({"protocol": "zzz"}, "protocol 'zzz' is unknown (there is ctw1500, total_text, icdar2015, msra_td500)"),
        (
            {"--variant": "kkd"},
            "ctw1500: variant 'kkd' is unknown (there is official, kkdnet): did you mean kkdnet?",
        ),
        ({"--pred": "missing"}, "missing: no CTW1500 results here: give a folder or a .zip of *.txt files"),
        ({"--gt": "missing"}, "missing: no CTW1500 ground truth here: give a folder or a .zip of *.txt files"),
    ],
)
def test_mistakes_are_one_line(data, capsys, change, words):
    options = {"--gt": data / "ctw1500/gt", "--pred": data / "ctw1500/pred"} | change
    protocol = options.pop("protocol", "ctw1500")
    assert main([protocol, *(str(part) for option in options.items() for part in option)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == f"error: {words}\n"


def test_mistakes_end_without_traceback_but_with_one_under_debug(data):
    wrong = [*arguments(data)[:-1], data / "nowhere"]
    done = run(*wrong)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    debug = run(*wrong, "--debug")
    assert debug.returncode != 0 and "Traceback" in debug.stderr


def test_json_that_cannot_be_written(data, capsys):
    file = data / "no folder"
    file.touch()
    assert main([*arguments(data), "--json", str(file / "scores.json")]) == 2
    assert f"scores.json: {file} is a file (Not a directory)" in capsys.readouterr().err
