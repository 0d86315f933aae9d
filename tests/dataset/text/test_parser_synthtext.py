"""The SynthText parser, on files of a few entries, and its index at full size."""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matlab_files import cells, mat_bytes
from torch.utils.data import DataLoader

from annotations.synthtext import SynthTextImage, read_mat
from benchmarks.synthtext_index import IMAGES, measure, random_images, share, write_root
from dataset.registry import PARSERS
from dataset.text.parsers.base import flaw_of
from dataset.text.parsers.synthtext import SynthText
from dataset.text.parsers.synthtext_index import UNMATCHED, SynthTextIndex, write_index
from errors import InputError

BOXES = np.array(
    [
        [(10, 20), (50, 22), (49.5, 33.25), (9, 31)],
        [(-4, 1), (60, 0), (60, 9), (-4, 10)],
        [(100, 100), (140, 90), (143, 99), (103, 109)],
    ]
)


def word_bb(boxes: np.ndarray) -> np.ndarray:
    """(n, 4, 2) as the file holds it, 2 x 4 x n; MATLAB drops the last axis of a single word."""
    array = np.asarray(boxes, np.float64).transpose(2, 1, 0)
    return array[..., 0] if array.shape[2] == 1 else array


ENTRIES = [
    ("8/ballet_106_0.jpg", word_bb(BOXES), ["Lines:", "I lost"]),
    ("8/ballet_106_1.jpg", word_bb(BOXES[:1]), ["the"]),
    ("200/a b_0.jpg", word_bb(BOXES[1:]), [" Café\n", "\tdel,mar  "]),
]


def write(root: Path, entries: Sequence[tuple[str, np.ndarray, Sequence[str]]], **other: np.ndarray) -> Path:
    """A SynthText folder without images; MATLAB pads the strings of a cell to the same length."""
    names, boxes, texts = zip(*entries)
    padded = [np.array([line.ljust(max(map(len, text))) for line in text]) for text in texts]
    variables = {"imnames": cells([names]), "wordBB": cells([boxes]), "txt": cells([padded]), **other}
    root.mkdir(exist_ok=True)
    (root / "gt.mat").write_bytes(mat_bytes(charBB=cells([boxes]), **variables))
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
    return root


def test_records(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    parser = PARSERS.get("SynthText")(write(tmp_path, ENTRIES), "train")
    assert isinstance(parser, SynthText) and len(parser) == 3 and parser.issues.summary() == []
    assert caplog.messages == [
        f"SynthText train: making the index {tmp_path / 'gt.mat.index'}, once; this takes a minute or more"
    ]
    assert [parser[i].image_path for i in range(3)] == [tmp_path / name for name, _, _ in ENTRIES]
    for i, expected in enumerate([BOXES, BOXES[:1], BOXES[1:]]):
        record = parser[i]
        assert len(record.polygons) == len(expected) and all(p.dtype == np.float32 for p in record.polygons)
        np.testing.assert_array_equal(record.polygons, expected)  # numbers that float32 holds
        assert record.ignore.tolist() == [False] * len(expected)
    texts = [parser[i].transcriptions for i in range(3)]
    assert texts == [["Lines:", "I", "lost"], ["the"], ["Café", "del,mar"]]
    with pytest.raises(IndexError):
        parser[3]


def test_single_image_and_image_without_words(tmp_path):
    parser = SynthText(write(tmp_path, [("1/a.jpg", np.zeros((2, 4, 0)), [""])]), "train")
    assert len(parser) == 1 and parser[0].polygons == [] and parser[0].transcriptions == []
    assert parser[0].ignore.shape == (0,) and parser[0].ignore.dtype == bool


def test_words_that_do_not_match_the_boxes(tmp_path, caplog):
    entries = [ENTRIES[0], ("8/b.jpg", word_bb(BOXES), ["two", "words"]), ("8/c.jpg", word_bb(BOXES[:1]), ["t w o"])]
    for _ in range(2):  # the second time out of the index
        caplog.clear()
        parser = SynthText(write(tmp_path, entries), "train")
        np.testing.assert_array_equal(parser[1].polygons, BOXES)
        assert parser[1].transcriptions == ["", "", ""] and parser[2].transcriptions == [""]
        line = f"SynthText train: 2 {UNMATCHED}, first in {tmp_path / 'gt.mat'}, entry 2"
        assert parser.issues.summary() == [line] and line in caplog.messages


def test_degenerate_boxes_are_left_out_with_their_words_and_counted(tmp_path):
    boxes = np.array([BOXES[0], [(5, 5), (5, 5), (9, 9), (9, 9)], BOXES[1], [(1, 1), (2, 2), (3, 3), (7, 7)]])
    parser = SynthText(write(tmp_path, [("1/a.jpg", word_bb(boxes), ["a b c d"])]), "train")
    np.testing.assert_array_equal(parser[0].polygons, BOXES[:2])
    assert parser[0].transcriptions == ["a", "c"]
    assert parser.issues.counts == {
        "polygons with < 3 distinct points ignored": 1,
        "polygons with all points on one line ignored": 1,
    }


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=4, max_size=4), max_size=12))
def test_index_leaves_out_what_other_parsers_do(tmp_path_factory, boxes):
    path = tmp_path_factory.mktemp("index") / "index"
    corners = np.array(boxes, float).reshape(-1, 4, 2)
    words = [str(i) for i in range(len(boxes))]
    write_index(path, [SynthTextImage("1/a.jpg", corners, words, "entry 1")], {})
    index, flaws = SynthTextIndex(path), list(map(flaw_of, corners))
    kept = [i for i, flaw in enumerate(flaws) if flaw is None]
    np.testing.assert_array_equal(index[0].boxes, corners[kept])
    assert index[0].words == [str(i) for i in kept]
    assert index.issues == {flaw: [flaws.count(flaw), "entry 1"] for flaw in flaws if flaw is not None}


# The index file


def test_index_is_made_once_and_anew_for_another_file(tmp_path):
    SynthText(write(tmp_path, ENTRIES), "train")
    index = tmp_path / "gt.mat.index"
    made = index.stat().st_ino
    assert len(SynthText(tmp_path, "train")) == 3 and index.stat().st_ino == made
    stat = (tmp_path / "gt.mat").stat()
    os.utime(tmp_path / "gt.mat", ns=(stat.st_atime_ns, stat.st_mtime_ns + 2 * 10**9))  # another time, the same size
    SynthText(tmp_path, "train")
    assert index.stat().st_ino != made
    write(tmp_path, ENTRIES[:2])
    os.utime(tmp_path / "gt.mat", ns=(stat.st_atime_ns, stat.st_mtime_ns + 2 * 10**9))  # the same time, another size
    assert len(SynthText(tmp_path, "train")) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["200", "8", "gt.mat", "gt.mat.index"]


@pytest.mark.parametrize("damage", ["empty", "cut in header", "cut in ends", "cut", "longer", "version", "foreign"])
def test_damaged_or_older_index_is_made_anew(tmp_path, damage):
    SynthText(write(tmp_path, ENTRIES), "train")
    index = tmp_path / "gt.mat.index"
    good = index.read_bytes()
    header, rest = good.split(b"\n", 1)
    other = {**json.loads(header), "version": 0}
    bad = {
        "empty": b"",
        "cut in header": good[:20],
        "cut in ends": good[: len(header) + 11],
        "cut": good[:-1],
        "longer": good + b" ",
        "version": json.dumps(other).encode().ljust(len(header)) + b"\n" + rest,
        "foreign": b"\xff\x00 something else",
    }
    index.write_bytes(bad[damage])
    parser = SynthText(tmp_path, "train")
    assert parser[2].transcriptions == ["Café", "del,mar"] and index.read_bytes() == good


def test_index_in_the_cache_folder(tmp_path):
    root = write(tmp_path / "data", ENTRIES)
    parser = SynthText(root, "train", cache=tmp_path / "some/cache")
    assert parser[1].transcriptions == ["the"]
    assert (tmp_path / "some/cache/gt.mat.index").is_file() and not (root / "gt.mat.index").exists()


def test_unwritable_place_names_the_option(tmp_path):
    root = write(tmp_path / "data", ENTRIES)
    (tmp_path / "file").touch()  # no folder; rights would not stop a superuser
    with pytest.raises(InputError) as caught:
        SynthText(root, "train", cache=tmp_path / "file")
    message = str(caught.value)
    assert "gt.mat.index: cannot be written (" in message and "set data.train.cache to" in message
    assert "\n" not in message


def test_failure_leaves_no_file_behind(tmp_path):
    def images():
        yield SynthTextImage("1/a.jpg", BOXES, ["a"] * 3, "entry 1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_index(tmp_path / "index", images(), {})
    assert list(tmp_path.iterdir()) == []


def test_pickled_without_annotations(tmp_path):
    write_root(tmp_path / "root", random_images(500))
    parser = SynthText(tmp_path / "root", "train")
    sent = pickle.dumps(parser)
    assert len(sent) < 2000
    arrived = pickle.loads(sent)
    for i, image in enumerate(random_images(500)):
        for record in (parser[i], arrived[i]):
            np.testing.assert_array_equal(record.polygons, image.boxes.astype(np.float32))
            assert record.transcriptions == image.words
            assert record.image_path == tmp_path / "root" / image.name


def first_word(records):
    return [record.transcriptions[0] for record in records]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same(tmp_path, method):
    parser = SynthText(write(tmp_path, ENTRIES), "train")
    loader = DataLoader(parser, 2, num_workers=2, collate_fn=first_word, multiprocessing_context=method)
    assert list(loader) == [["Lines:", "the"], ["Café"]]


# Mistakes


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"txt": cells([["a"]])}, "holds 3 imnames, 3 wordBB, 1 txt, which must be as many"),
        ({"wordBB": cells([[np.ones((2, 4)), np.ones((3, 4, 2)), 1]])}, "entry 2, wordBB: is 3 x 4 x 2, where 2 x 4 x"),
        ({"wordBB": cells([[np.ones((2, 4)), "words", 1]])}, "entry 2, wordBB: is "),
        ({"wordBB": cells([[np.full((2, 4), np.nan)] * 3])}, "entry 1, wordBB: holds a value that is not a number of"),
        ({"wordBB": cells([[np.full((2, 4), 2e6)] * 3])}, "entry 1, wordBB: holds a value that is not a number of"),
    ],
)
def test_wrong_contents(tmp_path, other, said):
    root = write(tmp_path, ENTRIES, **other)
    with pytest.raises(InputError) as caught:
        SynthText(root, "train")
    message = str(caught.value)
    assert message.startswith(str(root / "gt.mat")) and said in message and "\n" not in message
    assert not (root / "gt.mat.index").exists()


def test_no_such_file(tmp_path):
    (tmp_path / "gt.mat").write_bytes(b"not MATLAB")
    with pytest.raises(InputError, match=r"gt\.mat: cannot be read as a MATLAB file"):
        SynthText(tmp_path, "train")
    (tmp_path / "gt.mat").write_bytes(mat_bytes(imnames=cells([["a"]]), txt=cells([["a"]])))
    with pytest.raises(InputError, match=r"gt\.mat: has no variable wordBB"):
        list(read_mat(tmp_path / "gt.mat"))
    (tmp_path / "gt.mat").unlink()
    with pytest.raises(InputError, match=r"no file .*gt\.mat; put it there, or point elsewhere"):
        SynthText(tmp_path, "train")
    with pytest.raises(InputError, match=r"no folder .*none; put the data there"):
        SynthText(tmp_path / "none", "train")


def test_missing_images(tmp_path):
    write(tmp_path, ENTRIES)
    (tmp_path / "8").rmdir()
    with pytest.raises(InputError, match=r"no folder .*8; put the data there"):
        SynthText(tmp_path, "train")


def test_no_images(tmp_path):
    (tmp_path / "gt.mat").write_bytes(
        mat_bytes(**dict.fromkeys(("imnames", "wordBB", "txt"), np.zeros((1, 0), object)))
    )
    with pytest.raises(InputError, match=r"gt\.mat: holds no image"):
        SynthText(tmp_path, "train")


def test_for_training_only(tmp_path):
    with pytest.raises(InputError, match="has no split 'test'; set split to one of: train"):
        SynthText(tmp_path, "test")
    parser = SynthText(write(tmp_path, ENTRIES), "train")
    with pytest.raises(InputError, match=r"SynthText has no evaluation protocol; set data\.test"):
        _ = parser.ground_truth


@pytest.mark.slow
def test_full_size_opens_fast_in_little_memory(tmp_path):
    """A process of its own must open the index in 5 s and, all of it read, hold less than 1 GB more than before."""
    write_root(tmp_path / "root", random_images(IMAGES))
    measured = measure(tmp_path / "root", reads=1000)
    assert measured["open, s"] < 5 and measured["unpickle, s"] < 5
    assert measured["pickled, MB"] < 0.01
    assert measured["all records read, MB"] < 1000


@pytest.mark.slow
def test_processes_share_the_pages_of_the_index(tmp_path):
    write_root(tmp_path / "root", random_images(40_000))
    found = share(tmp_path / "root", 2)
    size = (tmp_path / "root" / "gt.mat.index").stat().st_size / 1e6
    assert found["resident, MB"] > 0.8 * size  # all of it was read
    assert found["resident, MB"] - found["proportional, MB"] > 0.3 * size  # half of it is the other's
