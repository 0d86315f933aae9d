"""Folders and zips of ground truth and results, read with suspicion and written whole or not at all."""

import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from eval import PROTOCOLS, evaluate, write_results

LABEL = "100,50,130,70,0,0,5,0,10,0,15,0,20,0,25,0,30,0,30,20,25,20,20,20,15,20,10,20,5,20,0,20"
RESULT = "50,100,50,130,70,130,70,100"
SQUARE = np.array([[100, 50], [130, 50], [130, 70], [100, 70]])
read_results = PROTOCOLS["ctw1500"].results.read


@pytest.fixture
def data(tmp_path):
    """Ground truth of two images, one text each, and a result file for the first."""
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
    for name in ("1001", "1002"):
        (tmp_path / "gt" / f"{name}.txt").write_text(LABEL + "\n")
    (tmp_path / "pred" / "1001.txt").write_text(RESULT + "\n")
    return tmp_path


def zip_up(target, *names):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, RESULT)
    return target


def test_zips_score_as_folders_do(data):
    expected = evaluate("ctw1500", data / "gt", data / "pred")
    assert (expected["precision"], expected["recall"]) == (1, 0.5)
    with zipfile.ZipFile(data / "gt.zip", "w") as archive:
        for name in ("labels/", "labels/1001.txt", "deep/er/1002.txt"):
            archive.writestr(name, LABEL if name.endswith("txt") else "")
    hidden = ["__MACOSX/1001.txt", "a/__MACOSX/._1001.txt", "._1001.txt", ".git/1002.txt", ".DS_Store"]
    pred = zip_up(data / "pred.zip", "./1001.txt", *hidden)
    assert evaluate("ctw1500", data / "gt.zip", pred) == expected


def test_a_folder_may_hold_other_files_and_hidden_ones(data):
    for name in ("1001.jpg", "notes.md", ".1001.txt"):
        (data / "pred" / name).write_bytes(b"\xff")
    (data / "pred" / "deeper.txt").mkdir()
    assert list(read_results(data / "pred")) == ["1001"]


@pytest.mark.parametrize("name", ["../1001.txt", "/1001.txt", "a/../../1001.txt", "..\\1001.txt", "C:\\1001.txt"])
def test_a_zip_entry_that_leads_outside_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"a\.zip: entry .*1001\.txt' leads outside"):
        read_results(zip_up(tmp_path / "a.zip", name))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["1001.txt", "deeper/1001.txt"])
def test_a_zip_with_two_files_of_one_image_is_refused(tmp_path, other):
    with pytest.raises(InputError, match=rf"a\.zip/{other}: is the second file of image '1001'"):
        read_results(zip_up(tmp_path / "a.zip", "1001.txt", other))


@pytest.mark.parametrize("name", ["read.me", "img.jpg", "a/1002.txt.bak", "1002"])
def test_a_zip_with_a_foreign_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"a\.zip/{name}: is no file of CTW1500 results, which are named \*\.txt"):
        read_results(zip_up(tmp_path / "a.zip", "1001.txt", name))


@pytest.mark.parametrize(
    ("protocol", "wrong", "right"),
    [
        ("icdar2015", "img_1.txt", r"res_\*\.txt"),
        ("icdar2015", "gt_img_1.txt", r"res_\*\.txt"),
        ("icdar2015", "res_.txt", r"res_\*\.txt"),
    ],
)
def test_a_result_file_of_another_benchmark_is_named(tmp_path, protocol, wrong, right):
    (tmp_path / wrong).write_text("")
    for path in (tmp_path, zip_up(tmp_path / "a.zip", wrong)):
        with pytest.raises(InputError, match=rf"{wrong}: is no file of ICDAR2015 results, which are named {right}"):
            PROTOCOLS[protocol].results.read(path)


@pytest.mark.parametrize(
    ("protocol", "wrong", "right"),
    [
        ("total_text", "img_1.txt", r"poly_gt_\*\.mat or poly_gt_\*\.txt or gt_\*\.mat or gt_\*\.txt"),
        ("icdar2015", "img_1.txt", r"gt_\*\.txt"),
    ],
)
def test_a_ground_truth_file_of_another_benchmark_is_named(tmp_path, protocol, wrong, right):
    (tmp_path / wrong).write_text("")
    with pytest.raises(InputError, match=rf"{wrong}: is no file of .* ground truth, which are named {right}"):
        PROTOCOLS[protocol].read_ground_truth(tmp_path)


def test_labels_of_msra_td500_lie_beside_the_images(tmp_path):
    for name in ("IMG_0001.JPG", "IMG_0001.gt", "readme.txt"):
        (tmp_path / name).touch()
    assert list(PROTOCOLS["msra_td500"].read_ground_truth(tmp_path)) == ["IMG_0001"]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no CTW1500 ground truth here: give a folder or a \.zip of \*\.txt"):
        PROTOCOLS["ctw1500"].read_ground_truth(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no \*\.txt file: expected CTW1500 results, one file an image"):
        read_results(tmp_path)
    with pytest.raises(InputError, match=r"a\.zip: holds no \*\.txt file"):
        read_results(zip_up(tmp_path / "a.zip"))
    with pytest.raises(InputError, match=r"holds no \*\.gt file"):
        PROTOCOLS["msra_td500"].read_ground_truth(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(data):
    (data / "pred" / "1001.txt").chmod(0)
    with pytest.raises(InputError, match=r"1001\.txt: cannot be read: Permission denied"):
        read_results(data / "pred")


def test_no_zip_at_all(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"a\.zip: cannot be read as a \.zip of CTW1500 results"):
        read_results(tmp_path / "a.zip")


def test_an_encrypted_zip(tmp_path):
    path = zip_up(tmp_path / "a.zip", "1001.txt")
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # the flag in the local header, and in the central directory
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.zip: cannot be read .*encrypted"):
        read_results(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_zip_is_refused_in_one_line(tmp_path_factory, data):
    path = zip_up(tmp_path_factory.mktemp("zips") / "a.zip", "1001.txt", "1002.txt")
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        read_results(path)  # some damage does not matter
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)


def test_a_result_without_ground_truth_is_named(data):
    (data / "pred" / "1003.txt").write_text("")
    with pytest.raises(InputError, match=r"pred: 1003\.txt without ground truth"):
        evaluate("ctw1500", data / "gt", data / "pred")
    (data / "pred" / "1004.txt").write_text("")
    with pytest.raises(InputError, match=r"1003\.txt and 1 more"):
        evaluate("ctw1500", data / "gt", data / "pred")


def test_the_file_of_a_result_without_ground_truth_is_named_as_it_is(tmp_path):
    (tmp_path / "gt_img_1.txt").write_text("")
    write_results("icdar2015", tmp_path / "pred.zip", {"img_1": [], "img_2": []})
    with pytest.raises(InputError, match=r"pred\.zip: res_img_2\.txt without ground truth"):
        evaluate("icdar2015", tmp_path, tmp_path / "pred.zip")


def test_only_some_images(data):
    summary = evaluate("ctw1500", data / "gt", data / "pred", only=["1001"])
    assert (summary["images"], summary["recall"]) == (1, 1)


@pytest.mark.parametrize("out", ["out", "out.zip", "deep/er/out", "deep/er/out.ZIP"])
def test_results_are_replaced_whole_or_not_at_all(tmp_path, out):
    path = tmp_path / out
    write_results("ctw1500", path, {"1": [SQUARE], "2": []})
    for bad in ({"3": [np.zeros((3, 3))]}, {"3": [np.full((3, 2), np.nan)]}, {"a/b": []}, {"": []}):
        with pytest.raises(ValueError, match="image"):
            write_results("ctw1500", path, {"1": []} | bad)
    assert sorted(read_results(path)) == ["1", "2"] and read_results(path)["1"][0].tolist() == SQUARE.tolist()
    write_results("ctw1500", path, {"1": []})
    assert read_results(path) == {"1": []}
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_a_folder_that_fails_half_way_is_left_as_it_was(tmp_path):
    write_results("ctw1500", tmp_path / "out", {"1": [SQUARE]})
    with pytest.raises((OSError, ValueError)):
        write_results("ctw1500", tmp_path / "out", {"1": [], "\0": []})
    assert (tmp_path / "out" / "1.txt").read_text() == RESULT + "\n"
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_what_is_no_result_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    zip_up(tmp_path / "thesis.zip", "1.txt", "thesis.tex")
    (tmp_path / "text.zip").write_text("years of work")
    (tmp_path / "folder.zip").mkdir()
    for path, words in (
        (tmp_path, "holds folder.zip/, which is no result file"),
        (tmp_path / "thesis.tex", "is a file: name a folder"),
        (tmp_path / "thesis.tex" / "out", "cannot be written"),
        (tmp_path / "thesis.tex" / "out.zip", "cannot be written"),
        (tmp_path / "thesis.zip", "holds thesis.tex, which is no result file"),
        (tmp_path / "text.zip", "is no .zip of results"),
        (tmp_path / "folder.zip", "is no .zip of results"),
    ):
        with pytest.raises(InputError, match=words):
            write_results("ctw1500", path, {"1": []})
    assert (tmp_path / "thesis.tex").read_text() == (tmp_path / "text.zip").read_text() == "years of work"
    assert zipfile.ZipFile(tmp_path / "thesis.zip").namelist() == ["1.txt", "thesis.tex"]


def test_hidden_files_do_not_hinder_and_stay(tmp_path):
    out = tmp_path / "out"
    write_results("ctw1500", out, {"1": [SQUARE]})
    (out / ".DS_Store").write_text("a file manager's")
    (out / "Thumbs.db").write_text("another's")
    (out / ".ipynb_checkpoints").mkdir()
    (out / ".ipynb_checkpoints" / "1.txt").write_text("a notebook's")
    write_results("ctw1500", out, {"2": [SQUARE]})
    assert sorted(f.name for f in out.iterdir()) == [".DS_Store", ".ipynb_checkpoints", "2.txt", "Thumbs.db"]
    assert (out / ".ipynb_checkpoints" / "1.txt").read_text() == "a notebook's"
    assert [f.name for f in tmp_path.iterdir()] == ["out"] and list(read_results(out)) == ["2"]
    packed = zip_up(tmp_path / "a.zip", "1.txt", "__MACOSX/._1.txt", ".DS_Store")
    write_results("ctw1500", packed, {"2": [SQUARE]})
    assert list(read_results(packed)) == ["2"]
