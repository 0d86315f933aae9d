"""Bringing labelme files into the layout of Total-Text; splits and label files."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_files import ALL_TRAIN, CURVE, error, run, shape, write_labelme, write_picture

from annotations import Instance, total_text
from dataset.text.parsers.total_text import TotalText
from errors import InputError
from eval.total_text import GROUND_TRUTH
from tools.import_dataset import label_text, share_out, split_of


def test_labelme_shapes_become_records(tmp_path):
    quad = [[1, 1], [9, 2], [8, 8], [2, 7]]
    shapes = [
        shape('it\'s, "two"\nlines'),
        shape("box", [[30, 20], [10, 30]], shape_type="rectangle"),
        shape("quad", quad, shape_type="quad"),
        shape("old", quad, shape_type=None),
        shape("###"),
    ]
    write_labelme(tmp_path / "in", "Straße 1.JPG", shapes)
    write_labelme(tmp_path / "in" / "more", "b.png", [])
    output = run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    assert "Train: 2 images, 5 instances, 1 of them ignored" in output and "Test: 0 images" in output
    first, second = TotalText(tmp_path / "out", "train")
    assert first.image_path.name == "Straße 1.JPG" and second.polygons == []
    expected = [CURVE, [[30, 20], [10, 20], [10, 30], [30, 30]], quad, quad, CURVE]
    assert all(np.array_equal(a, b) for a, b in zip(first.polygons, expected, strict=True))
    assert first.transcriptions == ['it\'s, "two"\nlines', "box", "quad", "old", "#"]
    assert first.ignore.tolist() == [False, False, False, False, True]
    assert first.image_path.read_bytes() == (tmp_path / "in" / "Straße 1.JPG").read_bytes()
    scored = GROUND_TRUTH.read(tmp_path / "out" / "Groundtruth" / "Polygon" / "Train")
    assert list(scored) == ["Straße 1", "b"] and scored["Straße 1"].ignored.tolist() == first.ignore.tolist()


def test_the_labels_to_ignore_can_be_named(tmp_path):
    write_labelme(tmp_path / "in", shapes=[shape(label) for label in ("ignore", "illegible ", "###", "#", "word")])
    run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN, "--ignore-label", "ignore", "illegible")
    [record] = TotalText(tmp_path / "out", "train")
    assert record.ignore.tolist() == [True, True, False, True, False]


def test_what_is_no_polygon_is_left_out_and_counted(tmp_path):
    line = [[0, 0], [5, 5], [9, 9]]
    shapes = [shape(), shape(shape_type="circle"), shape(shape_type="point"), shape(shape_type="circle")]
    write_labelme(tmp_path / "in", shapes=[*shapes, shape(points=line), shape(points=[[1, 1]] * 4)])
    output = run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    assert "2 shapes of type circle left out, first in " in output and "a.json, shapes[1]" in output
    assert "1 shapes of type point left out" in output
    assert "1 polygons with all points on one line" in output and "1 polygons with < 3 distinct points" in output
    assert len(TotalText(tmp_path / "out", "train")[0].polygons) == 1


@pytest.mark.parametrize("stated", ["..\\pictures\\a.jpg", "../pictures/a.jpg", "C:\\of\\another\\machine\\a.jpg"])
def test_image_paths_are_relative_to_the_label_file_or_in_a_named_folder(tmp_path, stated):
    write_picture(tmp_path / "in" / "pictures" / "a.jpg")
    write_labelme(tmp_path / "in" / "labels", image=False, imagePath=stated)
    elsewhere = ["--images", tmp_path / "in" / "pictures"] if ":" in stated else []
    run("labelme", tmp_path / "in" / "labels", tmp_path / "out", *ALL_TRAIN, *elsewhere)
    assert TotalText(tmp_path / "out", "train")[0].name == "a"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imagePath": "b.jpg"}, "a.json: imagePath 'b.jpg': there is no file"),
        ({"imagePath": None}, "a.json: has no imagePath, expected a string"),
        ({"shapes": {}}, "a.json: shapes is '{}', expected a list"),
        ({"shapes": [3]}, "a.json, shapes[0]: has no points, expected a list"),
        ({"shapes": [shape(label=None)]}, "a.json, shapes[0]: has no label, expected a string"),
        ({"shapes": [shape(), shape(points=CURVE[:2])]}, "a.json, shapes[1].points: has 2 points, expected 3 or more"),
        ({"shapes": [shape(points=[])]}, "shapes[0].points: has 0 points"),
        ({"shapes": [shape(points=CURVE[:1], shape_type="rectangle")]}, "shapes[0].points: has 1 points"),
        ({"shapes": [shape(points=[[1, 2], [3, float("nan")], [5, 6]])]}, "shapes[0].points: point 2 is (3.0, nan)"),
        ({"shapes": [shape(points=[[1, 2], [3, 1e9], [5, 6]])]}, "point 2 is (3.0, 1000000000.0), no pixels"),
        ({"shapes": [shape(points=[[1, 2], [3, None], [5, 6]])]}, "point 2 is (3.0, nan)"),
        ({"shapes": [shape(points=[[1, 2], [3], [5, 6]])]}, "shapes[0].points: is no list of x, y pairs"),
        ({"shapes": [shape(points=[[1, 2, 3]] * 3)]}, "shapes[0].points: is no list of x, y pairs"),
        ({"shapes": [shape(points=["x", "y", "z"])]}, "shapes[0].points: is no list of x, y pairs"),
        ({"imageHeight": 99}, "a.json: made on an image of 60x99, but "),
    ],
)
def test_a_mistake_in_a_labelme_file_is_named(tmp_path, change, said):
    write_labelme(tmp_path / "in", **change)
    line = error("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    assert line.startswith("error: ") and said in line


def test_all_mistakes_are_named_in_one_run(tmp_path):
    write_labelme(tmp_path / "in", "a.jpg", [shape(points=CURVE[:2]), shape(), shape(points=[])])
    write_labelme(tmp_path / "in", "b.jpg", image=False)
    output = run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN, code=2)
    *mistakes, last = output.strip().splitlines()
    places = ("a.json, shapes[0].points", "a.json, shapes[2].points", "b.json: imagePath")
    assert len(mistakes) == 3 and all(place in line for place, line in zip(places, mistakes))
    assert "3 mistakes, listed above; nothing was written" in last and not (tmp_path / "out").exists()


def test_broken_json_is_named_with_its_line(tmp_path):
    write_labelme(tmp_path / "in").write_text('{"shapes": [],\n "imagePath": \n}')
    assert "a.json, line 3: is not JSON (" in error("labelme", tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.json").write_bytes(b'{"shapes": "\xff"}')
    assert "a.json: byte 12 is not UTF-8" in error("labelme", tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.json").write_text("[]")
    assert "a.json: holds a list where an object is expected" in error("labelme", tmp_path / "in", tmp_path / "out")


def test_two_images_of_one_name_are_refused(tmp_path):
    write_labelme(tmp_path / "in" / "first", "a.jpg")
    write_labelme(tmp_path / "in" / "second", "a.png")
    line = error("labelme", tmp_path / "in", tmp_path / "out")
    assert "second/a.json: image " in line and "has the name of" in line and "first/a.json" in line


def test_damaged_images_are_refused(tmp_path):
    write_labelme(tmp_path / "in")
    (tmp_path / "in" / "a.jpg").write_bytes(b"not an image")
    assert "a.jpg: cannot be read (" in error("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)


def test_folders_and_options_that_make_no_import(tmp_path):
    write_labelme(tmp_path / "in")
    arguments = ["labelme", tmp_path / "in", tmp_path / "out"]
    assert "1 images leave the split Test empty" in error(*arguments, "--test-fraction", 1e-9)
    assert "--test-fraction 2.0: expected a number from 0 to 1" in error(*arguments, "--test-fraction", 2)
    assert "is no folder" in error(*arguments, "--images", tmp_path / "nowhere")
    assert "holds no .json file" in error("labelme", tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    output = run("labelme", tmp_path / "in", tmp_path / "full", *ALL_TRAIN, code=2)
    assert "full: is there already; name a new or empty folder" in output
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "out").mkdir()
    run(*arguments, *ALL_TRAIN)
    assert len(TotalText(tmp_path / "out", "train")) == 1


# --- split and label files


def test_the_split_is_stable_and_about_as_asked():
    names = [f"img{i}" for i in range(2000)]
    parts = {name: split_of(name, 0.1, 0) for name in names}
    assert parts == {name: split_of(name, 0.1, 0) for name in names}
    share = sum(part == "Test" for part in parts.values()) / len(names)
    assert abs(share - 0.1) < 5 * (0.1 * 0.9 / len(names)) ** 0.5
    assert any(parts[name] != split_of(name, 0.1, 1) for name in names)
    assert all(split_of(name, 0.2, 0) == "Test" for name in names if parts[name] == "Test")
    assert {split_of(name, 0.0, 0) for name in names} == {"Train"}
    assert {split_of(name, 1.0, 0) for name in names} == {"Test"}


def test_more_images_leave_the_others_where_they_are(tmp_path):
    for i in range(8):
        write_labelme(tmp_path / "in", f"{i}.png")
    run("labelme", tmp_path / "in", tmp_path / "first", "--test-fraction", 0.5)
    for i in range(8, 12):
        write_labelme(tmp_path / "in", f"{i}.png")
    run("labelme", tmp_path / "in", tmp_path / "second", "--test-fraction", 0.5)
    for split in ("train", "test"):
        first, second = ({r.name for r in TotalText(tmp_path / n, split)} for n in ("first", "second"))
        assert first and first <= second


def test_an_import_of_nothing_is_refused():
    with pytest.raises(InputError, match="0 images"):
        share_out([], argparse.Namespace(src="in", test_fraction=0, seed=0))


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 2), min_size=3, max_size=9),
            st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
            st.booleans(),
        ),
        max_size=5,
    )
)
def test_label_files_are_read_back(instances):
    given_ = [Instance(np.array(p), "here", t.strip(), difficult=d) for p, t, d in instances]
    text = label_text(given_)
    read = total_text.parse_text(text, "file")
    assert len(read) == len(given_)
    for one, other in zip(given_, read):
        np.testing.assert_allclose(other.polygon, one.polygon, atol=0.005 + 1e-9)
        assert other.transcription == ("#" if one.difficult else one.transcription)
        assert (other.orientation == "#") == one.difficult


def test_turned_rectangles_are_text(tmp_path):
    points = [[20, 5], [40, 15], [35, 25], [15, 15]]
    shapes = [shape("a", points, shape_type="oriented_rectangle"), shape("b", points, shape_type="rotation")]
    write_labelme(tmp_path / "in", shapes=shapes)
    (tmp_path / "in" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "in" / ".ipynb_checkpoints" / "a.json").write_text("a notebook's")
    run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    [record] = TotalText(tmp_path / "out", "train").records
    assert [p.tolist() for p in record.polygons] == [points, points] and record.transcriptions == ["a", "b"]


def test_corners_row_by_row_are_put_in_order(tmp_path):
    write_labelme(tmp_path / "in", shapes=[shape(points=[[5, 5], [40, 5], [5, 20], [40, 20]])])
    assert "1 polygons whose edges cross put in order" in run("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
    [record] = TotalText(tmp_path / "out", "train").records
    assert record.polygons[0].tolist() == [[5, 5], [40, 5], [40, 20], [5, 20]]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([], "nothing is labelled"),
        ([shape("###"), shape("###")], "all 2 instances are ignored"),
        ([shape(points=[[0.1, 0.1], [0.6, 0.1], [0.6, 0.4]])], "1 polygons smaller than a pixel"),
        ([shape(shape_type="linestrip")], "1 shapes of type linestrip left out"),
    ],
)
def test_nothing_to_learn(tmp_path, shapes, said):
    write_labelme(tmp_path / "in", shapes=shapes)
    assert f"has no text to learn: {said}" in error("labelme", tmp_path / "in", tmp_path / "out", *ALL_TRAIN)
