"""Ground truth and result files of each benchmark: what they hold, and what is said about mistakes in them."""

import io
import re

import numpy as np
import pytest
import scipy.io
from conftest import ROOT

from annotations import Instance, total_text
from errors import InputError
from eval import PROTOCOLS, evaluate, write_results

SQUARE = np.array([[100, 50], [130, 50], [130, 70], [100, 70]], dtype=float)
STEPS = [(i * 5, 0) for i in range(7)] + [(i * 5, 20) for i in range(6, -1, -1)]
BAND = SQUARE[0] + STEPS  # (14, 2), the same square
OFFSETS = ",".join(f"{v:g}" for v in (BAND - SQUARE[0]).ravel())
ABSOLUTE = ",".join(f"{v:g}" for v in BAND.ravel())


def mat(*rows):
    """A Total-Text .mat file of rows (polygon, transcription, orientation)."""
    cells = np.empty((len(rows), 6), dtype=object)
    for i, (polygon, transcription, orientation) in enumerate(rows):
        x, y = np.asarray(polygon).astype(np.int16).T[:, None]
        cells[i] = ["x:", x, "y:", y, transcription, orientation]
    file = io.BytesIO()
    scipy.io.savemat(file, {"polygt": cells})
    return file.getvalue()


def plain(*rows):
    return total_text.write_text(Instance(*row[:1], "", *row[1:]) for row in rows).encode()


TOTAL_TEXT = [(SQUARE, "word", "c"), (BAND, "#", "c"), (SQUARE, "word", "#")]
# name of the file of image 'img_7', its content -> polygons, ignored
GROUND_TRUTH = {
    "ctw1500": ("img_7.txt", f"100,50,130,70,{OFFSETS},extra\r\n\r\n".encode(), [BAND], [False]),
    "ctw1500 absolute": ("img_7.txt", f"{ABSOLUTE},a, b\n{ABSOLUTE},###\n".encode(), [BAND, BAND], [False, False]),
    "total_text": ("poly_gt_img_7.mat", mat(*TOTAL_TEXT), [SQUARE, BAND, SQUARE], [False, True, True]),
    "total_text plain": ("poly_gt_img_7.txt", plain(*TOTAL_TEXT), [SQUARE, BAND, SQUARE], [False, True, True]),
    "icdar2015": (
        "gt_img_7.txt",
        b"\xef\xbb\xbf100,50,130,50,130,70,100,70,a, b\r\n100,50,130,50,130,70,100,70,###\r\n",
        [SQUARE, SQUARE],
        [False, True],
    ),
    "msra_td500": ("img_7.gt", b"0 0 100 50 30 20 0.0\n1 1 100 50 30 20 0\n", [SQUARE, SQUARE], [False, True]),
}
RESULTS = {
    "ctw1500": ("img_7.txt", "50,100,50,130,70,130,70,100\n"),
    "total_text": ("img_7.txt", "50,100,50,130,70,130,70,100\n"),
    "icdar2015": ("res_img_7.txt", "100,50,130,50,130,70,100,70\n"),
    "msra_td500": ("img_7.txt", "100, 50, 130, 50, 130, 70, 100, 70\n"),
}


@pytest.mark.parametrize("case", GROUND_TRUTH)
def test_ground_truth(case, tmp_path):
    name, content, polygons, ignored = GROUND_TRUTH[case]
    (tmp_path / name).write_bytes(content)
    read = PROTOCOLS[case.split()[0]].read_ground_truth(tmp_path)
    assert list(read) == ["img_7"] and read["img_7"].ignored.tolist() == ignored
    np.testing.assert_equal([p.tolist() for p in read["img_7"].polygons], [p.tolist() for p in polygons])


def test_both_forms_of_ctw1500_labels_score_alike(tmp_path):
    (tmp_path / "1.txt").write_text(f"100,50,130,70,{OFFSETS}\n")
    (tmp_path / "absolute").mkdir()
    (tmp_path / "absolute" / "1.txt").write_text(f"{ABSOLUTE},###\n")
    write_results("ctw1500", tmp_path / "pred", {"1": [SQUARE]})
    published, absolute = (evaluate("ctw1500", gt, tmp_path / "pred") for gt in (tmp_path, tmp_path / "absolute"))
    assert published == absolute and published["hmean"] == 1


@pytest.mark.parametrize("protocol", RESULTS)
def test_results_are_written_as_the_benchmark_takes_them_and_read_back(protocol, tmp_path):
    name, line = RESULTS[protocol]
    rules = PROTOCOLS[protocol].results
    write_results(protocol, tmp_path / "out", {"img_7": [SQUARE + 0.4, SQUARE - 0.4], "img_8": []})
    empty = name.replace("7", "8")
    assert {f.name: f.read_bytes().decode() for f in (tmp_path / "out").iterdir()} == {name: 2 * line, empty: ""}
    read = rules.read(tmp_path / "out")
    assert [p.tolist() for p in read["img_7"]] == [SQUARE.tolist()] * 2 and read["img_8"] == []


@pytest.mark.parametrize("protocol", RESULTS)
def test_results_that_others_write(protocol):
    _, line = RESULTS[protocol]
    spaced = line.replace(",", " , ").replace("100", "+1e2").replace("50", "50.0")
    parsed = PROTOCOLS[protocol].results.parse(f"\ufeff{line.strip()}\r\n\n   \n{spaced}", "x.txt")
    assert [p.tolist() for p in parsed] == [SQUARE.tolist()] * 2
    assert PROTOCOLS[protocol].results.parse("", "x.txt") == []


@pytest.mark.parametrize("protocol", ["ctw1500", "total_text", "msra_td500"])
def test_results_may_have_any_number_of_points(protocol, tmp_path):
    polygons = [np.array([[1, 2]]), BAND[:3], BAND]
    write_results(protocol, tmp_path / "out", {"1": polygons})
    read = PROTOCOLS[protocol].results.read(tmp_path / "out")["1"]
    assert [p.tolist() for p in read] == [p.tolist() for p in polygons]


@pytest.mark.parametrize("protocol", RESULTS)
def test_polygons_that_cannot_be_written_are_refused(protocol, tmp_path):
    wrong = [np.zeros((4, 3)), np.zeros(8), np.full((4, 2), np.nan), np.empty((0, 2)), np.full((4, 2), np.inf)]
    for polygon in wrong + [BAND] * (protocol == "icdar2015"):
        with pytest.raises(ValueError, match=rf"image '1': .*got shape {re.escape(str(polygon.shape))}"):
            write_results(protocol, tmp_path / "out", {"1": [polygon]})
    for image_id in ("", "a/b", "."):
        with pytest.raises(ValueError, match="cannot be a file name"):
            write_results(protocol, tmp_path / "out", {image_id: []})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("protocol", RESULTS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fields: [*fields[:3], "x", *fields[4:]], "field 4 is 'x', not a number"),
        (lambda fields: [*fields[:3], "nan", *fields[4:]], "field 4 is 'nan', not a number"),
        (lambda fields: ["inf", *fields[1:]], "field 1 is 'inf', not a number"),
        (lambda fields: ["1_0", *fields[1:]], "field 1 is '1_0', not a number"),
        (lambda fields: ["1e9", *fields[1:]], "field 1 is '1e9', not a number of pixels"),
        (lambda fields: [*fields, ""], "9 fields where .* numbers are expected"),
        (lambda fields: fields[:7], "7 fields where .* numbers are expected"),
        (lambda fields: [*fields, "0.9"], "9 fields where .* numbers are expected"),  # a score
    ],
)
def test_a_bad_result_line_is_named(protocol, change, words, tmp_path):
    name, line = RESULTS[protocol]
    bad = ",".join(change(line.strip().split(",")))
    (tmp_path / name).write_text(f"{line}\n{bad}\n")
    benchmark = PROTOCOLS[protocol].results.benchmark
    with pytest.raises(
        InputError, match=rf"{name}, line 3: {words}.*{benchmark} result: .*no comma at the end"
    ) as error:
        PROTOCOLS[protocol].results.read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_result_of_icdar2015_has_four_points(tmp_path):
    (tmp_path / "res_img_1.txt").write_text("1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8,9,10\n")
    with pytest.raises(
        InputError, match=r"line 2: 10 fields where 8 numbers are expected \(ICDAR2015 result: x,y of 4"
    ):
        PROTOCOLS["icdar2015"].results.read(tmp_path)


@pytest.mark.parametrize(
    ("case", "content", "words"),
    [
        ("ctw1500", b"1,2,3,4\n", "line 1: 4 fields where 32 numbers are expected"),
        ("ctw1500", f"100,abc,130,70,{OFFSETS}".encode(), "line 1: field 2 is 'abc'"),
        ("ctw1500", b"\xff\xfe", "is not UTF-8 text: invalid start byte at byte 0"),
        ("total_text", b"no mat file", "cannot be read as a MATLAB file"),
        ("total_text plain", b"x: [[1 2]], y: [[1]], ornt: [u'c'], transcriptions: [u'']", "line 1: 2 x and 1 y"),
        ("total_text plain", b"\x80", "is not UTF-8"),
        ("icdar2015", b"1,2,3,4,5,6,7,8,a\n1,2,3,4,5,6,7,a,b", "line 2: field 8 is 'a'"),
        ("icdar2015", b"1,2,3", "line 1: 3 fields where 8"),
        ("msra_td500", b"0 0 1 2 3 4", "line 1: 6 fields where 7"),
        ("msra_td500", b"0 0 1 2 3 4 x", "line 1: field 7 is 'x'"),
    ],
)
def test_a_bad_label_is_named(case, content, words, tmp_path):
    name = GROUND_TRUTH[case][0]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}[:,] {words}") as error:
        PROTOCOLS[case.split()[0]].read_ground_truth(tmp_path)
    assert "\n" not in str(error.value)


def test_two_kinds_of_ground_truth_for_one_image_are_refused(tmp_path):
    (tmp_path / "poly_gt_img1.txt").write_bytes(plain(*TOTAL_TEXT))
    (tmp_path / "poly_gt_img1.mat").write_bytes(mat(*TOTAL_TEXT))
    with pytest.raises(InputError, match=r"poly_gt_img1\.txt: is the second file of image 'img1'"):
        PROTOCOLS["total_text"].read_ground_truth(tmp_path)


@pytest.mark.parametrize("protocol", RESULTS)
def test_results_of_each_benchmark_score(protocol, tmp_path):
    name, content, *_ = GROUND_TRUTH[protocol]
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / name).write_bytes(content)
    for out in ("pred", "pred.zip"):
        write_results(protocol, tmp_path / out, {"img_7": [SQUARE]})
        for variant in PROTOCOLS[protocol].variants:
            summary = evaluate(protocol, tmp_path / "gt", tmp_path / out, variant)
            expected = 0 if protocol in ("total_text", "icdar2015") else 1  # the square lies in an ignored one too
            assert (summary["protocol"], summary["variant"], summary["images"]) == (protocol, variant, 1)
            assert summary["precision"] == summary["per_image"]["img_7"]["precision"]
            assert summary["recall"] == expected


REAL = ROOT.parent / "shared/data/ICDAR2015/Challenge4"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ICDAR2015")
@pytest.mark.parametrize("split", ["training", "test"])
def test_ground_truth_scores_1_against_itself(split, tmp_path):
    folder = REAL / f"ch4_{split}_localization_transcription_gt"
    truth = PROTOCOLS["icdar2015"].read_ground_truth(folder)
    write_results("icdar2015", tmp_path / "pred.zip", {name: image.polygons for name, image in truth.items()})
    summary = evaluate("icdar2015", folder, tmp_path / "pred.zip")
    words = sum(len(image.ignored) - int(image.ignored.sum()) for image in truth.values())
    assert summary["ground_truth"] == words > 0 and summary["hmean"] == pytest.approx(1, abs=0.005)
