"""Labels of other data sets in a benchmark's style, and labels that are right line by line and not as a whole."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icdar_files import QUAD, TRAIN, layout
from matlab_files import mat_bytes, total_text_rows

from annotations import ctw1500, icdar2015
from annotations.outline import are_fractions, crosses, in_order
from dataset import build_dataset, text_split
from dataset.text.parsers.ctw1500 import CTW1500
from dataset.text.parsers.icdar2015 import ICDAR2015
from dataset.text.parsers.total_text import TotalText
from engine.tasks import TASKS
from errors import InputError
from eval import PROTOCOLS, evaluate

CORNERS = [(10, 10), (60, 10), (60, 40), (10, 40)]
READING = "10,10,60,10,10,40,60,40"  # row by row


def told(*lines: str) -> list[tuple[int, str, bool]]:
    """Corners, transcription and difficulty of each line of a file in ICDAR's style."""
    instances = icdar2015.parse("\n".join(lines), "f")
    return [(len(i.polygon), i.transcription, i.difficult) for i in instances]


# Forms of lines


def test_a_script_before_the_transcription():
    assert told(f"{QUAD},Latin,a,b", f"{QUAD},None,###") == [(4, "a,b", False), (4, "###", False)]
    # One line without a script, and it is a transcription after all.
    assert told(f"{QUAD},Latin,a", f"{QUAD},word") == [(4, "Latin,a", False), (4, "word", False)]


def test_a_flag_before_quotes():
    lines = (f'{QUAD},0,"a, b"', f'{QUAD},1,"c"', f'{QUAD},1,"###"')
    assert told(*lines) == [(4, "a, b", False), (4, "c", True), (4, "###", True)]
    assert told(f'{QUAD},0,"a"', f"{QUAD},2000") == [(4, '0,"a"', False), (4, "2000", False)]


def test_the_ignore_label_in_quotes():
    assert told(f'{QUAD},"###"', f'{QUAD},"a"') == [(4, "###", False), (4, '"a"', False)]


def test_any_number_of_corners():
    six = "10,10,60,5,110,10,110,40,60,35,10,40"
    assert told(f"{six},curved", f"{QUAD},2010", f"{six}", f"{QUAD}") == [
        (6, "curved", False),
        (4, "2010", False),
        (6, "", False),
        (4, "", False),
    ]
    assert icdar2015.parse(six, "f")[0].polygon.tolist() == np.reshape(six.split(","), (-1, 2)).astype(float).tolist()


@pytest.mark.parametrize("text", ["1,000", "1,2,3", "7,8,9,10", "1000,2000,3000,4000", "5,12,kg"])
def test_numbers_with_commas_are_transcriptions(text):
    # The corners of a seventh and eighth point would lie far from the first four.
    line = f"1010,1010,1060,1010,1060,1040,1010,1040,{text}"
    assert told(line) == [(4, text, False)]


CURVE = [(100 + 10 * k, 50) for k in range(7)] + [(160 - 10 * k, 80) for k in range(7)]


def numbers(points) -> str:
    return ",".join(f"{v:g}" for v in np.ravel(points))


def test_ctw1500_absolute_behind_the_box():
    inside = [(x - 100, y - 50) for x, y in CURVE]
    published = f"100,50,160,80,{numbers(inside)}"
    absolute = f"100,50,160,80,{numbers(CURVE)}"
    for line in (published, absolute):
        [instance] = ctw1500.parse(line, "f")
        assert list(map(tuple, instance.polygon)) == CURVE
    mixed = ctw1500.parse(f"{published}\n{absolute}", "f")  # not in every line: as published
    assert list(map(tuple, mixed[1].polygon)) == [(x + 100, y + 50) for x, y in CURVE]


def test_ctw1500_polygons_with_a_transcription():
    eight = [(100 + 10 * k, 50) for k in range(8)] + [(170 - 10 * k, 80) for k in range(8)]
    [first, second] = ctw1500.parse(f"{numbers(eight)},hello\n{QUAD},###\n", "f")
    assert list(map(tuple, first.polygon)) == eight and first.transcription == "hello"
    assert list(map(tuple, second.polygon)) == CORNERS and second.transcription == "###"


# Order of the corners


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=4, max_size=4, unique=True))
def test_four_corners_are_put_in_order(points):
    polygon = np.array(points, float)
    ordered = in_order(polygon)
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, polygon)) and not crosses(ordered)
    assert (ordered is polygon) == (not crosses(polygon))


def test_crossing_is_more_than_touching():
    square = np.array(CORNERS, float)
    for order, expected in (([0, 1, 2, 3], False), ([0, 1, 3, 2], True), ([0, 2, 1, 3], True)):
        assert crosses(square[order]) == expected
    assert not crosses(np.array([(0, 0), (9, 0), (5, 0), (5, 9)]))  # to and fro on a line
    curve = np.array(CURVE, float)
    assert not crosses(curve) and np.array_equal(in_order(np.concatenate([curve[:7], curve[:6:-1]])), curve)


def test_training_puts_corners_in_order_and_says_so(tmp_path):
    parser = ICDAR2015(layout(tmp_path, {"img_1": f"{READING},a\n{QUAD},b"}), "train")
    assert [p.tolist() for p in parser[0].polygons] == [[list(c) for c in CORNERS]] * 2
    [said] = parser.issues.summary()
    assert "1 polygons whose edges cross put in order" in said and said.endswith("gt_img_1.txt, line 1")


def test_evaluation_changes_no_ground_truth_but_refuses_most_and_tells_some(tmp_path, caplog):
    (tmp_path / "gt_img_1.txt").write_text(f"{READING},a\n{QUAD},b\n")
    assert len(PROTOCOLS["icdar2015"].read_ground_truth(tmp_path)["img_1"].polygons) == 2
    assert "edges cross of 1 of 2 ground truths, first in" in caplog.text and "gt_img_1.txt, line 1" in caplog.text
    (tmp_path / "gt_img_1.txt").write_text(f"{READING},a\n{READING},b\n{QUAD},c\n")
    with pytest.raises(InputError, match=r"edges cross of 2 of 3 .*line 1; list corners in the order"):
        PROTOCOLS["icdar2015"].read_ground_truth(tmp_path)


# Nothing to learn


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (f"{QUAD},###\n", r"all 2 instances are ignored \(ignore_labels: '###'\)"),
        ("", "2 images without text"),
        ("1,1,1,1,9,9,9,9,a\n", "2 polygons with < 3 distinct points"),
        ("1,1,1.2,1,1.2,1.9,1,1.9,a\n", "2 polygons smaller than a pixel"),
        ("210,10,260,10,260,40,210,40,a\n", "all 2 instances of the 2 images looked at lie outside their image"),
    ],
)
def test_nothing_to_learn_is_refused_in_training_only(tmp_path, labels, said):
    root = layout(tmp_path, {"img_1": labels, "img_2": labels})
    with pytest.raises(InputError, match=rf"ICDAR2015 train, .*: has no text to learn: {said}"):
        TASKS["text"].train_set(text_split(TRAIN, root, training=True), seed=0)
    layout(tmp_path, {"img_1": labels}, "test")
    assert len(build_dataset({"type": "ICDAR2015", "split": "test"}, root, training=False)) == 1


def test_fractions_of_the_image_are_refused(tmp_path):
    fractions = "0.1,0.1,0.6,0.1,0.6,0.4,0.1,0.4"
    root = layout(tmp_path, {"img_1": f"{fractions},a\n", "img_2": f"{fractions},b\n"})
    for training in (True, False):
        with pytest.raises(InputError, match=r"ICDAR2015 train: all coordinates of its 2 instances lie within 0\.\.1"):
            build_dataset({**TRAIN} if training else {"type": "ICDAR2015", "split": "train"}, root, training)
    gt = ICDAR2015(layout(tmp_path / "b", {"img_1": f"{QUAD},a"}), "train").ground_truth
    (tmp_path / "res_img_1.txt").write_text(fractions)
    with pytest.raises(InputError, match=r"all coordinates lie within 0\.\.1, fractions of an image"):
        evaluate("icdar2015", gt, tmp_path)
    with pytest.raises(InputError, match=r"all coordinates lie within 0\.\.1, fractions of an image"):
        PROTOCOLS["icdar2015"].read_ground_truth(root / "Challenge4/ch4_training_localization_transcription_gt")
    assert not are_fractions([]) and not are_fractions([np.array([(0, 0), (1, 0), (1, 1)])])


def test_ignore_labels(tmp_path, caplog):
    lines = [f"{QUAD},###", *[f"{QUAD},*"] * 3, f"{QUAD},word"]
    root = layout(tmp_path, {"img_1": "\n".join(lines)})
    assert ICDAR2015(root, "train")[0].ignore.tolist() == [True, False, False, False, False]
    assert "3 instances labelled '*' are learnt as text; if it marks" in caplog.text
    assert "set ignore_labels=['###', '*']" in caplog.text
    caplog.clear()
    assert ICDAR2015(root, "train", ignore_labels=["###", "*"])[0].ignore.tolist() == [True] * 4 + [False]
    assert not caplog.text
    assert not ICDAR2015(root, "train", ignore_labels=[])[0].ignore.any()
    ICDAR2015(root, "train", ignore_labels=["###", "*", "?"])
    assert "no instance is labelled '?', one of ignore_labels" in caplog.text
    for wrong in ("###", [3]):
        with pytest.raises(InputError, match=r"data\.train\.ignore_labels is .*; give a list"):
            ICDAR2015(root, "train", ignore_labels=wrong)


def test_a_difficult_instance_is_ignored(tmp_path):
    root = layout(tmp_path, {"img_1": f'{QUAD},0,"a"\n{QUAD},1,"b"'})
    assert ICDAR2015(root, "train")[0].ignore.tolist() == [False, True]
    truth = PROTOCOLS["icdar2015"].read_ground_truth(ICDAR2015(root, "train").ground_truth)["img_1"]
    assert truth.ignored.tolist() == [False, True]


def test_ground_truth_without_anything_to_find_is_said(tmp_path, caplog):
    (tmp_path / "gt_img_1.txt").write_text(f"{QUAD},###\n")
    PROTOCOLS["icdar2015"].read_ground_truth(tmp_path)
    assert "all 1 ground truths are ignored: there is nothing to find" in caplog.text


# The overview


def test_the_overview(tmp_path):
    degenerate = "1,1,1,1,9,9,9,9,a"
    root = layout(tmp_path, {"img_1": f"{QUAD},a\n{QUAD},###", "img_2": f"{QUAD},b\n{degenerate}", "img_3": ""})
    dataset = build_dataset(TRAIN, root, training=True)
    line = "ICDAR2015 train: 3 images of 96x48 pixels, 3 instances, 1 of them ignored"
    assert dataset.overview() == f"{line}; 1 polygons with < 3 distinct points ignored"
    large = root / "Challenge4/ch4_training_images/img_3.png"
    large.write_bytes(cv2.imencode(".png", np.zeros((200, 60, 3), np.uint8))[1].tobytes())
    assert "3 images of 60x48 to 96x200 pixels" in dataset.overview()
    large.write_bytes(b"")  # shows when it is read
    assert "3 images of 96x48 pixels" in dataset.overview()


# Names


def test_decomposed_accents_and_upper_case_suffixes(tmp_path):
    root = layout(tmp_path, {"Caf\u00e9 1": f"{QUAD},a", "img_2": f"{QUAD},b"})
    images, gt = (root / f"Challenge4/ch4_training_{n}" for n in ("images", "localization_transcription_gt"))
    (gt / "gt_Caf\u00e9 1.txt").rename(gt / unicodedata.normalize("NFD", "gt_Caf\u00e9 1.TXT"))
    (images / "img_2.png").rename(images / "img_2.PNG")
    assert [r.name for r in ICDAR2015(root, "train").records] == ["Caf\u00e9 1", "img_2"]
    (images / "Caf\u00e9 1.png").rename(images / unicodedata.normalize("NFD", "Caf\u00e9 1.png"))
    parser = ICDAR2015(root, "train")
    assert {r.name: r.transcriptions for r in parser.records} == {"Caf\u00e9 1": ["a"], "img_2": ["b"]}
    pred = tmp_path / "pred"
    pred.mkdir()
    (pred / unicodedata.normalize("NFD", "res_Caf\u00e9 1.txt")).write_text(QUAD)
    (pred / "res_img_2.TXT").write_text(QUAD)
    for only in (None, ["Caf\u00e9 1", "img_2"], [unicodedata.normalize("NFD", "Caf\u00e9 1"), "img_2"]):
        assert evaluate("icdar2015", gt, pred, only=only)["hmean"] == 1
    (gt / "gt_img_2.TXT").touch()
    with pytest.raises(InputError, match=r"stands beside gt_img_2\.txt; keep one annotation file"):
        ICDAR2015(root, "train")


def test_what_is_passed_over_is_named(tmp_path, caplog):
    root = layout(tmp_path, {"img_1": f"{QUAD},a", "img_2": f"{QUAD},b"})
    images, gt = (root / f"Challenge4/ch4_training_{n}" for n in ("images", "localization_transcription_gt"))
    (images / "img_2.png").rename(images / "img_2.heic")
    for name in ("img_1.txt", "._img_3.png", ".DS_Store", "Thumbs.db"):
        (images / name).touch()
    parser = ICDAR2015(root, "train")
    assert len(parser) == 1
    assert f"{images}: files that are read as no image passed over: 1 .heic" in caplog.text
    [said] = parser.issues.summary()
    assert "1 label files without an image passed over" in said and said.endswith(str(gt / "gt_img_2.txt"))
    assert ICDAR2015(layout(tmp_path, {"img_10": f"{QUAD},b"}), "validation").issues.summary() == []
    for name in ("img_1.png", "img_10.png"):
        (images / name).unlink()
    with pytest.raises(InputError, match=r"no image \(\.jpg .*\(there is 1 \.heic\)"):
        ICDAR2015(root, "train")


def test_other_image_formats_are_found(tmp_path):
    root = layout(tmp_path, {f"img_{i}": f"{QUAD},a" for i in range(5)})
    images = root / "Challenge4/ch4_training_images"
    for i, suffix in enumerate((".bmp", ".webp", ".tif", ".TIFF", ".gif")):
        pixels = cv2.imread(str(images / f"img_{i}.png"))
        (images / f"img_{i}.png").unlink()
        (images / f"img_{i}{suffix}").write_bytes(cv2.imencode(suffix.lower(), pixels)[1].tobytes())
    dataset = build_dataset(TRAIN, root, training=True)
    assert [dataset[i].image.shape for i in range(5)] == [(3, 64, 64)] * 5
    assert "5 images of 96x48 pixels" in dataset.overview()


def test_labels_and_images_in_one_folder_are_told_apart(tmp_path):
    for suffix, content in ((".txt", "100,50,160,80," + numbers([(x - 100, y - 50) for x, y in CURVE])), (".jpg", "")):
        (tmp_path / f"1{suffix}").write_text(content)
    for name in ("text_image", "text_label_curve"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).symlink_to(tmp_path, target_is_directory=True)
    [record] = CTW1500(tmp_path, "train").records
    assert record.image_path.name == "1.jpg" and record.polygons[0].tolist() == [list(p) for p in CURVE]


def test_refined_names_of_total_text(tmp_path):
    images, gt = tmp_path / "Images" / "Train", tmp_path / "Groundtruth" / "Polygon" / "Train"
    for folder in (images, gt):
        folder.mkdir(parents=True)
    for stem, name in (("img1", "gt_img1.mat"), ("img2", "poly_gt_img2.mat")):
        (images / f"{stem}.jpg").touch()
        (gt / name).write_bytes(mat_bytes(gt=total_text_rows(([1, 9, 9], [1, 1, 9], stem, "h"))))
    assert [r.transcriptions for r in TotalText(tmp_path, "train").records] == [["img1"], ["img2"]]
    assert list(PROTOCOLS["total_text"].read_ground_truth(gt)) == ["img1", "img2"]
