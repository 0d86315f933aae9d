"""Ground truth and result files, the evaluation command line, and what they say about mistakes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from errors import InputError
from eval import evaluate, formats
from eval.__main__ import main
from eval.formats import read_ctw1500_ground_truth, read_ctw1500_results, write_ctw1500_results

ROOT = Path(__file__).resolve().parent.parent
OFFSETS = [(i * 5, 0) for i in range(7)] + [(i * 5, 20) for i in range(6, -1, -1)]
LABEL = ",".join(map(str, [100, 50, 130, 70, *np.ravel(OFFSETS)]))
RESULT = "50,100,50,130,70,130,70,100"
RECTANGLE = [[100, 50], [130, 50], [130, 70], [100, 70]]


@pytest.fixture
def data(tmp_path):
    """Ground truth of two images, one text each, and a result file for the first."""
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
    for name in ("1001", "1002"):
        (tmp_path / "gt" / f"{name}.txt").write_text(LABEL + "\n")
    (tmp_path / "pred" / "1001.txt").write_text(RESULT + "\n")
    return tmp_path


def zip_up(target, entries):
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in entries:
            archive.writestr(name, text)
    return target


def test_ground_truth_is_relative_to_the_corner_and_may_end_in_extra_fields():
    polygons = formats.parse_ctw1500_ground_truth(f"{LABEL}\n\n{LABEL},a word, with commas\r\n  \n", "x.txt")
    assert len(polygons) == 2
    for polygon in polygons:
        np.testing.assert_array_equal(polygon, np.array(OFFSETS) + np.array([100, 50]))


def test_results_are_y_then_x_with_any_number_of_points():
    polygons = formats.parse_ctw1500_result(f"{RESULT}\n\n1,2,3,4,5.5,6\n", "x.txt")
    assert [p.tolist() for p in polygons] == [RECTANGLE, [[2, 1], [4, 3], [6, 5.5]]]
    assert formats.parse_ctw1500_result("", "x.txt") == []


def test_a_byte_order_mark_is_passed_over(data):
    (data / "pred" / "1001.txt").write_bytes(b"\xef\xbb\xbf" + RESULT.encode() + b"\r\n")
    assert read_ctw1500_results(data / "pred")["1001"][0].tolist() == RECTANGLE


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,2,3,4,5", "holds pairs y,x, found 5 numbers"),
        ("1,2,x,4,5,6", "field 3 must be a number, found 'x'"),
        ("1,2,3,4,5,6,", "field 7 must be a number.*no comma at the end"),
        ("1,2,nan,4,5,6", "field 3 must be a number"),
        ("1,2,3,inf,5,6", "field 4 must be a number"),
    ],
)
def test_a_bad_result_line_is_named(data, line, words):
    (data / "pred" / "1001.txt").write_text(f"{RESULT}\n\n{line}\n")
    with pytest.raises(InputError, match=rf"1001\.txt:3: .*{words}"):
        read_ctw1500_results(data / "pred")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,2,3,4", "at least 32 numbers, found 4"),
        (LABEL.replace("50", "abc", 1), "field 2 must be a number"),
    ],
)
def test_a_bad_label_line_is_named(data, line, words):
    (data / "gt" / "1002.txt").write_text(f"{LABEL}\n{line}\n")
    with pytest.raises(InputError, match=rf"1002\.txt:2: .*{words}"):
        read_ctw1500_ground_truth(data / "gt")


def test_text_that_is_not_utf8_is_refused(data):
    (data / "pred" / "1001.txt").write_bytes(b"1,2,\xff\xfe")
    with pytest.raises(InputError, match=r"1001\.txt: is not UTF-8"):
        read_ctw1500_results(data / "pred")


def test_zips_score_as_folders_do(data):
    expected = evaluate("ctw1500", data / "gt", data / "pred")
    gt = zip_up(data / "gt.zip", [("labels/1001.txt", LABEL), ("labels/1002.txt", LABEL), ("read.me", "x")])
    pred = zip_up(data / "pred.zip", [("1001.txt", RESULT), ("__MACOSX/1001.txt", b"\xff"), ("._1001.txt", "")])
    assert evaluate("ctw1500", gt, pred) == expected
    assert (expected["precision"], expected["recall"]) == (1, 0.5)


@pytest.mark.parametrize("name", ["../1001.txt", "/1001.txt", "a/../../1001.txt", "..\\1001.txt", "C:\\1001.txt"])
def test_a_zip_entry_that_leads_outside_is_refused(tmp_path, name):
    path = zip_up(tmp_path / "a.zip", [(name, RESULT)])
    with pytest.raises(InputError, match=r"1001\.txt' leads outside"):
        read_ctw1500_results(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["1001.txt", "deeper/1001.txt"])
def test_a_zip_with_one_name_twice_is_refused(tmp_path, other):
    path = zip_up(tmp_path / "a.zip", [("1001.txt", RESULT), (other, RESULT)])
    with pytest.raises(InputError, match=r"two entries are named 1001\.txt"):
        read_ctw1500_results(path)


def test_a_damaged_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"a\.zip: cannot be read"):
        read_ctw1500_results(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1001.txt", RESULT * 50)
    raw = bytearray(path.read_bytes())
    raw[45:60] = b"\xff" * 15
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.zip: cannot be read"):
        read_ctw1500_results(path)


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere: no CTW1500 ground truth here"):
        read_ctw1500_ground_truth(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no \.txt file: expected CTW1500 results"):
        read_ctw1500_results(tmp_path)


def test_a_result_without_ground_truth_is_named(data):
    (data / "pred" / "1003.txt").write_text("")
    with pytest.raises(InputError, match=r"pred: 1003\.txt without ground truth"):
        evaluate("ctw1500", data / "gt", data / "pred")
    (data / "pred" / "1004.txt").write_text("")
    with pytest.raises(InputError, match=r"1003\.txt and 1 more"):
        evaluate("ctw1500", data / "gt", data / "pred")


def test_written_results_read_back(tmp_path):
    polygons = [np.array(RECTANGLE) + 0.4, np.array([[1.6, -2.6], [3, 4], [5, 6]], np.float32)]
    write_ctw1500_results(tmp_path / "deep" / "out", {"1001": polygons, "1002": []})
    written = sorted((tmp_path / "deep" / "out").iterdir())
    assert [f.name for f in written] == ["1001.txt", "1002.txt"]
    assert written[0].read_bytes().decode() == f"{RESULT}\n-3,2,4,3,6,5\n"
    assert written[1].read_bytes() == b""
    assert read_ctw1500_results(tmp_path / "deep" / "out")["1001"][1].tolist() == [[2, -3], [3, 4], [5, 6]]


def test_a_result_folder_is_replaced_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    write_ctw1500_results(out, {"1": [np.array(RECTANGLE)], "2": []})
    for bad in ({"3": [np.zeros((3, 3))]}, {"3": [np.full((3, 2), np.nan)]}, {"a/b": []}, {"": []}):
        with pytest.raises(ValueError, match="image"):
            write_ctw1500_results(out, {"1": []} | bad)
    with pytest.raises((OSError, ValueError)):
        write_ctw1500_results(out, {"1": [], "\0": []})  # fails half-way, while writing
    assert (out / "1.txt").read_text() == RESULT + "\n"
    write_ctw1500_results(out, {"1": []})
    assert [f.name for f in out.iterdir()] == ["1.txt"] and (out / "1.txt").read_text() == ""
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds thesis\.tex"):
        write_ctw1500_results(tmp_path, {"1": []})
    with pytest.raises(InputError, match="is a file"):
        write_ctw1500_results(tmp_path / "thesis.tex", {"1": []})
    with pytest.raises(InputError, match="cannot be written"):
        write_ctw1500_results(tmp_path / "thesis.tex" / "out", {"1": []})
    assert (tmp_path / "thesis.tex").exists()


def run(*arguments):
    command = [sys.executable, "-m", "eval", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_command_line(data):
    done = run("ctw1500", "--gt", data / "gt", "--pred", data / "pred", "--json", data / "new" / "scores.json")
    assert done.returncode == 0 and done.stderr == ""
    header, row, note = done.stdout.splitlines()
    assert header.split() == ["protocol", "variant", "precision", "recall", "hmean", "images"]
    assert row.split() == ["ctw1500", "official", "1.0000", "0.5000", "0.6667", "2"]
    assert note == "1 image(s) without a result file"
    scores = json.loads((data / "new" / "scores.json").read_text())
    assert (scores["protocol"], scores["variant"]) == ("ctw1500", "official")
    assert (scores["precision"], scores["recall"], scores["hmean"]) == (1, 0.5, pytest.approx(2 / 3))
    assert set(scores["per_image"]) == {"1001", "1002"}
    assert [f.name for f in (data / "new").iterdir()] == ["scores.json"]


def test_command_line_variant(data, capsys):
    assert main(["ctw1500", "--gt", str(data / "gt"), "--pred", str(data / "pred"), "--variant", "kkdnet"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:5] == ["kkdnet", "1.0000", "1.0000", "1.0000"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": "ctw150"}, "protocol 'ctw150' is unknown (there is ctw1500): did you mean ctw1500?"),
        ({"protocol": "zzz"}, "protocol 'zzz' is unknown (there is ctw1500)"),
        (
            {"--variant": "kkd"},
            "ctw1500: variant 'kkd' is unknown (there is official, kkdnet): did you mean kkdnet?",
        ),
        ({"--pred": "missing"}, "missing: no CTW1500 results here: give a folder or a .zip of .txt files"),
        ({"--gt": "missing"}, "missing: no CTW1500 ground truth here: give a folder or a .zip of .txt files"),
    ],
)
def test_command_line_mistakes_are_one_line(data, capsys, change, words):
    options = {"--gt": data / "gt", "--pred": data / "pred"} | change
    protocol = options.pop("protocol", "ctw1500")
    assert main([protocol, *(str(part) for option in options.items() for part in option)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == f"error: {words}\n"


def test_command_line_mistakes_end_without_traceback_but_with_one_under_debug(data):
    arguments = ("ctw1500", "--gt", data / "gt", "--pred", data / "nowhere")
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    debug = run(*arguments, "--debug")
    assert debug.returncode != 0 and "Traceback" in debug.stderr


def test_json_that_cannot_be_written(data, capsys):
    paths = ["--gt", data / "gt", "--pred", data / "pred", "--json", data / "gt" / "1001.txt" / "scores.json"]
    assert main(["ctw1500", *map(str, paths)]) == 2
    assert "scores.json: cannot be written" in capsys.readouterr().err
