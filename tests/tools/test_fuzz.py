"""Damaged files of every kind that is read: a small share of what `make fuzz` feeds, and the feeding itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from errors import InputError
from tools import fuzz
from tools.support.fuzz_damage import damaged
from tools.support.fuzz_inputs import Target, targets

TEXT = ["icdar2015", "ctw1500", "msra_td500", "total_text", "total_text_mat", "synthtext_mat", "synthtext_index"]
RESULTS = ["results_icdar2015", "results_ctw1500", "results_total_text", "results_msra_td500", "zip"]
OTHERS = ["coco", "coco_results", "coco_mask_results", "labelme", "coco_text", "voc", "image"]
KINDS = [*TEXT, *RESULTS, *OTHERS]
INPUTS = 60


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return targets(tmp_path_factory.mktemp("kinds"))


def test_all_kinds_are_fed(kinds):
    assert list(kinds) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, kinds, kind):
    target, folder = kinds[kind], tmp_path / "input"
    folder.mkdir()
    target.prepare(folder)
    for content in target.valid:  # else nothing behind the first check would be reached
        (folder / target.name).write_bytes(content)
        target.read(folder / target.name)
    for seed in range(INPUTS):
        _, wrong = fuzz.check(target, seed, folder, seconds=10)
        assert not wrong, f"seed {seed}: {wrong}"


def test_inputs_are_the_same_for_a_seed_and_differ_from_what_is_valid(kinds):
    for target in kinds.values():
        inputs = [damaged(target, seed) for seed in range(20)]
        assert inputs == [damaged(target, seed) for seed in range(20)]
        assert len(set(inputs)) > 15 and sum(content in target.valid for content in inputs) < 5


def read_badly(path: Path) -> None:
    content = path.read_bytes()
    if b"x" in content:
        time.sleep(60)
    if b"y" in content:
        raise InputError("two\nlines")
    if b"z" in content:
        raise ValueError("not for users")


@pytest.mark.parametrize(
    ("content", "found"), [(b"x", "took more than 0.1 s"), (b"y", "2 lines"), (b"z", "not for users"), (b"", "")]
)
def test_what_is_found(tmp_path, monkeypatch, content, found):
    monkeypatch.setattr(fuzz, "damaged", lambda target, seed: content)
    accepted, wrong = fuzz.check(Target("a", [], read_badly), 0, tmp_path, seconds=0.1)
    assert found in wrong and accepted == (content == b"")


def test_the_command(tmp_path, capsys):
    assert fuzz.run(fuzz.parse_args(["--count", "8", "--kinds", "voc", "zip", "--jobs", "2"])) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows[1:]] == [("voc", "4", "0"), ("zip", "4", "0")]
