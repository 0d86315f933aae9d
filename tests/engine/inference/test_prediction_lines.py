"""Predictions line by line: shards, runs that are gone on with, and the one file that is made of them."""

import json
import random
import shutil

import cv2
import numpy as np
import pytest
from conftest import run_script
from exported_networks import ONE, TWO, needs_packages, picture, predict, save

from engine.inference.prediction_lines import shard_of
from errors import InputError

pytestmark = needs_packages


@pytest.fixture
def folder(tmp_path):
    """Nine images, a file that is none, and a video of four frames."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = random.Random(0)
    for number in range(9):
        size = rng.choice([(96, 160), (160, 96)])
        save(folder / f"{number}.png", picture(*size, *rng.choice([(ONE,), (ONE, TWO), ()])))
    (folder / "3x.jpg").write_bytes(b"no image")
    writer = cv2.VideoWriter(str(folder / "5clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 96))
    for number in range(4):
        writer.write(np.ascontiguousarray(picture(96, 160, (16 * number, 16, 16 * number + 48, 48))))
    writer.release()
    return folder


@pytest.fixture
def whole(bright_model, folder, tmp_path):
    """What --json writes of all."""
    predict(bright_model, folder, "--json", tmp_path / "whole.json", code=1)
    return (tmp_path / "whole.json").read_text()


def merge(target, *shards, code: int = 0) -> str:
    return run_script("tools/merge_predictions.py", target, *shards, code=code)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_merged_shards_are_the_file_of_all(bright_model, folder, whole, tmp_path, number):
    files = []
    for shard in range(1, number + 1):
        output = predict(
            bright_model, folder, "--jsonl", tmp_path / "found.jsonl", "--shard", f"{shard}/{number}",
            code=int((folder / "3x.jpg") in sorted(folder.iterdir())[shard - 1 :: number]),
        )  # fmt: skip
        files.append(tmp_path / f"found.{shard}-of-{number}.jsonl")
        assert f"--jsonl {files[-1]}" in output
    counts = [sum("index" in line for line in map(json.loads, file.read_text().splitlines())) for file in files]
    assert sum(counts) == 9 + 1 + 4
    said = merge(tmp_path / "merged.json", *files[::-1])
    assert (tmp_path / "merged.json").read_text() == whole and "13 images, 1 files skipped" in said


@pytest.mark.parametrize("cut", ["between lines", "within a line", "within a video", "before the first"])
def test_an_interrupted_run_goes_on(bright_model, folder, whole, tmp_path, cut):
    path = tmp_path / "found.jsonl"
    command = [bright_model, folder, "--jsonl", path, "--batch-size", 3]
    predict(*command, code=1)
    lines = path.read_text().splitlines(keepends=True)
    kept = {
        "between lines": lines[:5],
        "within a line": [*lines[:5], lines[5][:30]],
        "within a video": lines[: 1 + max(i for i, line in enumerate(lines) if '"frame": 1' in line)],
        "before the first": [],
    }[cut]
    path.write_text("".join(kept))
    done = sum('"name"' in line and line.endswith("\n") for line in kept)
    if kept:
        assert "is not finished" in merge(tmp_path / "merged.json", path, code=2)
        assert not (tmp_path / "merged.json").exists()
    output = predict(*command, code=1)
    assert (f"{done} images were done before" in output) == (done > 0) and f"{13 - done} images, " in output
    merge(tmp_path / "merged.json", path)
    assert (tmp_path / "merged.json").read_text() == whole


def test_a_file_that_can_be_read_later_is_read(bright_model, folder, tmp_path):
    command = [bright_model, folder, "--jsonl", tmp_path / "found.jsonl"]
    predict(*command, code=1)
    shutil.copy(folder / "0.png", folder / "3x.jpg")
    assert "1 images, " in predict(*command)
    assert "14 images, 0 files skipped" in merge(tmp_path / "merged.json", tmp_path / "found.jsonl")
    assert "0 images, 0 detections, 0 files skipped" in predict(*command)


def test_another_run_is_refused(bright_model, folder, tmp_path):
    path = tmp_path / "found.jsonl"
    predict(bright_model, folder, "--jsonl", path, code=1)
    before = path.read_text()
    assert "is of another run (options)" in predict(bright_model, folder, "--jsonl", path, "--min-score", 0.5, code=2)
    save(folder / "new.png", picture(96, 160, ONE))
    assert "is of another run (inputs, inputs_sha256)" in predict(bright_model, folder, "--jsonl", path, code=2)
    (folder / "new.png").unlink()
    first, *_ = before.splitlines()
    for line in ("[1]", "3", "{}", "no json", '{"index": 1'):
        path.write_text(f"{first}\n{line}\n")
        assert f"{path}:2: is no line of predict.py --jsonl" in predict(bright_model, folder, "--jsonl", path, code=2)
    path.write_text('{"other": 1}\n')
    assert f"{path}:1: is no line of predict.py --jsonl" in predict(bright_model, folder, "--jsonl", path, code=2)
    path.write_text(before)


def test_shards_that_do_not_belong_together_are_refused(bright_model, folder, tmp_path):
    for shard in ("1/2", "2/2", "1/3"):
        predict(bright_model, folder, "--jsonl", tmp_path / "a.jsonl", "--shard", shard, code=int(shard == "1/2"))
    one, two, third = (tmp_path / f"a.{name}.jsonl" for name in ("1-of-2", "2-of-2", "1-of-3"))
    for given, said in (
        ([one], "shards 1/2: expected each of 1/2 to 2/2 once"),
        ([one, one], "shards 1/2, 1/2: expected"),
        ([one, third], "expected each of 1/2 to 2/2 once"),
    ):
        assert said in merge(tmp_path / "merged.json", *given, code=2)
    predict(bright_model, folder, "--jsonl", tmp_path / "b.jsonl", "--shard", "2/2", "--min-score", 0.5)
    said = merge(tmp_path / "merged.json", one, tmp_path / "b.2-of-2.jsonl", code=2)
    assert "b.2-of-2.jsonl: is of another run" in said and "(options)" in said
    (tmp_path / "empty.jsonl").write_text("")
    assert "empty.jsonl: is not finished" in merge(tmp_path / "merged.json", one, tmp_path / "empty.jsonl", code=2)
    assert not (tmp_path / "merged.json").exists()
    assert "13 images" in merge(tmp_path / "merged.json", one, two)


def test_a_shard_needs_a_place_of_lines(bright_model, folder, tmp_path):
    for options in (
        ["--json", tmp_path / "a.json"],
        [],
        ["--jsonl", tmp_path / "a.jsonl", "--json", tmp_path / "a.json"],
    ):
        assert "--shard: goes with --jsonl" in predict(bright_model, folder, "--shard", "1/2", *options, code=2)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", "1/0", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError, match="expected I/N"):
        shard_of(text)
