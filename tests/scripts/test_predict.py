"""predict.py: what it writes, what it refuses, and that nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from exported_networks import ONE, TWO, boxes, close_to, needs_packages, picture, predict, save, video
from PIL import Image
from processes import wait_until

from dataset import Pictures
from engine.inference import Predictor
from engine.inference.runtimes import DETECTOR
from eval import PROTOCOLS

pytestmark = needs_packages


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_everything_it_writes(bright_model, photos, tmp_path, runtime):
    places = {name: tmp_path / name for name in ("txt", "vis", "crops", "maps")}
    options = [part for name, place in places.items() for part in (f"--{name}", place)]
    output = predict(bright_model, photos, "--json", tmp_path / "all.json", *options, "--scores", runtime=runtime)
    assert "2 images, 3 detections, 0 files skipped" in output and f"images/s ({runtime})" in output
    content = json.loads((tmp_path / "all.json").read_text())
    assert (content["runtime"], content["task"], content["skipped"]) == (runtime, "text", [])
    one, two = content["images"]
    assert (one["file"], one["name"], one["width"], one["height"]) == (str(photos / "one.png"), "one", 160, 96)
    assert close_to(boxes(one), [ONE]) and close_to(boxes(two), [ONE, TWO])
    assert all(0.99 < detection["score"] <= 1 for image in (one, two) for detection in image["detections"])
    pictures = Pictures(photos, tmp_path / "all.json")  # as data.unlabelled.predictions
    assert [polygon.tolist() for polygon in pictures[1].polygons] == [d["polygon"] for d in two["detections"]]

    assert sorted(path.name for path in places["txt"].iterdir()) == ["res_one.txt", "res_two.txt"]
    lines = (places["txt"] / "res_two.txt").read_text().splitlines()
    assert [len(line.split(",")) for line in lines] == [9, 9] and all(line.endswith(",0.9975") for line in lines)
    assert {path.name for path in places["vis"].iterdir()} == {"one.jpg", "two.jpg"}
    drawn = cv2.imread(str(places["vis"] / "one.jpg"))[..., ::-1].astype(int)
    assert drawn.shape == (96, 160, 3) and (drawn[8, 20:70, 0] - drawn[8, 20:70, 1] > 60).mean() > 0.8  # a red line
    sizes = sorted(cv2.imread(str(path)).shape[:2] for path in places["crops"].glob("two_*.jpg"))
    assert np.abs(np.array(sizes) - [(16, 64), (32, 96)]).max() <= 4
    assert all(cv2.imread(str(path)).min() > 200 for path in places["crops"].iterdir())  # nothing but the box
    assert {path.name for path in places["maps"].iterdir()} == {
        f"{name}_{what}.jpg" for name in ("one", "two") for what in ("text", "kernel")
    }
    heat = cv2.imread(str(places["maps"] / "one_text.jpg"))
    assert heat.shape == (96, 160, 3) and heat[16, 40].sum() > 500 > 60 > heat[60, 40].sum()


def test_without_a_model_it_is_the_trained_detector(photos, bright_model, tmp_path):
    """The first name is MODEL only if it ends like one, wherever the options stand."""
    image = np.full((720, 1280, 3), 225, np.uint8)
    words = {"STATION": (200, 200), "Coffee": (600, 450)}  # and the left ends of their baselines
    for word, place in words.items():
        cv2.putText(image, word, place, cv2.FONT_HERSHEY_DUPLEX, 1.2, (30, 30, 30), 3)
    drawn = save(tmp_path / "sign.png", image)
    predict("--json", tmp_path / "a.json", drawn)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["model"] == str(DETECTOR)
    sizes = [cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 1.2, 3)[0] for word in words]
    wanted = [(x, y - height, x + width, y) for (x, y), (width, height) in zip(words.values(), sizes)]
    assert close_to(boxes(content["images"][0]), wanted, 10)
    found = Predictor.load()(drawn)
    assert len(found) == 2 and found[0][1] == pytest.approx(content["images"][0]["detections"][0]["score"], abs=1e-3)
    predict(bright_model, "--json", tmp_path / "b.json", photos / "one.png", photos / "two.png")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["model"] == str(bright_model) and [i["name"] for i in content["images"]] == ["one", "two"]
    assert "name the pictures to detect in" in predict(bright_model, code=2)


def test_result_files_are_those_that_the_benchmark_reads(bright_model, photos, tmp_path):
    predict(bright_model, photos, "--txt", tmp_path / "a", "--txt-format", "total_text", "--bbox-type", "poly")
    found = PROTOCOLS["total_text"].results.read(tmp_path / "a")
    assert {name: len(polygons) for name, polygons in found.items()} == {"one": 1, "two": 2}
    [polygon] = found["one"]
    assert np.abs([*polygon.min(0), *polygon.max(0)] - np.array(ONE)).max() <= 3


def test_without_options_pictures_and_json_go_to_outputs(bright_model, photos, tmp_path):
    run = [sys.executable, ROOT / "predict.py", bright_model, photos / "*.png", "--runtime", "onnx"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    out = tmp_path / "outputs" / "predict"
    assert {path.name for path in out.iterdir()} == {"one.jpg", "two.jpg", "predictions.json"}


def test_thresholds_and_sizes_reach_the_detector(bright_model, photos, tmp_path):
    def count(*options) -> int:
        predict(bright_model, photos / "two.png", "--json", tmp_path / "a.json", *options)
        return len(json.loads((tmp_path / "a.json").read_text())["images"][0]["detections"])

    assert count() == 2
    assert count("--min-score", 0.999) == 0
    assert count("--min-area", 1500) == 1
    assert count("--short-side", 192, "--min-area", 1500) == 2  # an area in pixels of the scaled picture
    assert count("--short-side", 192, "--long-side", 160, "--min-area", 1500) == 1
    assert count("--min-text", 0.998) == count("--min-kernel", 0.998) == 0  # white has 0.9975
    assert count("--min-text", 0.997, "--min-kernel", 0.997) == 2
    assert "expected a number between 0 and 1" in predict(bright_model, photos, "--min-kernel", 1, code=2)


@pytest.mark.parametrize("options", [["--workers", 0], ["--batch-size", 3, "--workers", 3], ["--threads", 1]])
def test_order_and_results_do_not_depend_on_how_it_runs(bright_model, tmp_path, options):
    files = []
    for number in range(7):
        size = (96, 160) if number % 3 else (160, 96)
        files.append(save(tmp_path / f"{number}.png", picture(*size, (8 * number, 8, 8 * number + 32, 40))))
    predict(bright_model, *reversed(files), "--json", tmp_path / "a.json", *options)
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [image["name"] for image in images] == list("6543210")
    for image in images:
        left = 8 * int(image["name"])
        assert close_to(boxes(image), [(left, 8, left + 32, 40)])


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_polygons_are_those_of_the_upright_picture(bright_model, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, clockwise, to be upright
    stored = np.rot90(picture(96, 160, ONE), 1)
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    predict(bright_model, tmp_path / f"a.{suffix}", "--json", tmp_path / "a.json", "--vis", tmp_path / "vis")
    [image] = json.loads((tmp_path / "a.json").read_text())["images"]
    assert (image["width"], image["height"]) == (160, 96) and close_to(boxes(image), [ONE])
    assert cv2.imread(str(tmp_path / "vis" / "a.jpg")).shape == (96, 160, 3)


def test_a_large_picture_is_taken_tile_by_tile_as_if_whole(bright_model, tmp_path):
    across = (40, 200, 600, 230)  # longer than a tile: its parts are one instance
    save(tmp_path / "a.png", picture(320, 640, across, (300, 20, 340, 60)))
    for name, options in {"whole": ["--short-side", 320], "tiled": ["--tile", 128, "--overlap", 64]}.items():
        predict(bright_model, tmp_path / "a.png", "--json", tmp_path / f"{name}.json", *options, "--batch-size", 3)
    whole, tiled = (json.loads((tmp_path / f"{name}.json").read_text())["images"] for name in ("whole", "tiled"))
    assert close_to(boxes(tiled[0]), [across, (300, 20, 340, 60)])
    assert whole == tiled


def test_names_that_meet_are_kept_apart(bright_model, photos, tmp_path):
    (photos / "deep").mkdir()
    save(photos / "deep" / "one.png", picture(96, 160))
    output = predict(bright_model, photos / "**" / "*.png", "--vis", tmp_path / "vis", "--json", tmp_path / "a.json")
    assert "3 images" in output
    assert {path.name for path in (tmp_path / "vis").iterdir()} == {"one.jpg", "one_2.jpg", "two.jpg"}
    found = {Path(i["file"]).parent.name: i["name"] for i in json.loads((tmp_path / "a.json").read_text())["images"]}
    assert found["deep"] in ("one", "one_2")


def test_a_video_gives_a_video(bright_model, tmp_path):
    path = video(tmp_path / "clip.avi", 5)
    output = predict(
        bright_model, path, "--json", tmp_path / "a.json", "--vis", tmp_path / "vis", "--crops", tmp_path / "crops"
    )
    assert "5 images, 5 detections" in output
    [entry] = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [(frame["frame"], frame["seconds"]) for frame in entry["frames"]] == [(i, i / 10) for i in range(5)]
    for number, frame in enumerate(entry["frames"]):
        assert np.abs(np.array(boxes(frame)) - [16 * number, 16, 16 * number + 48, 48]).max() <= 4
    assert [path.name for path in (tmp_path / "vis").iterdir()] == ["clip.mp4"]
    drawn = cv2.VideoCapture(str(tmp_path / "vis" / "clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (5, 10)
    assert len(list((tmp_path / "crops").glob("clip_00000?_0.jpg"))) == 5


WITHOUT = """
import sys
sys.path.insert(0, ".")
for name in ("torch", "torchvision", "timm", "mmengine", "lightning", "PIL", "rich", "scipy", "shapely", "pyclipper",
             "sklearn", "matplotlib", "faster_coco_eval", "filelock", "openvino", "onnx"):
    sys.modules[name] = None
import runpy
sys.argv = sys.argv[1:]
runpy.run_path("predict.py", run_name="__main__")
"""


def test_onnxruntime_numpy_and_opencv_are_enough(bright_model, photos, tmp_path):
    places = [part for name in ("json", "vis", "crops", "maps") for part in (f"--{name}", tmp_path / f"{name}.json")]
    run = [sys.executable, "-c", WITHOUT, "predict.py", bright_model, photos, *places]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "images/s (onnx)" in done.stdout
    predict(bright_model, photos, "--json", tmp_path / "all.json")
    bare, full = (json.loads((tmp_path / f"{name}.json").read_text())["images"] for name in ("json", "all"))
    assert bare == full and sum(len(image["detections"]) for image in bare) == 3
    refused = subprocess.run([*run[:6], "--txt", tmp_path / "t"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2 and "--txt needs the package shapely" in refused.stderr


def test_what_was_detected_before_ctrl_c_is_kept(bright_model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    first = save(photos / "000.png", picture(960, 1600, (100, 100, 400, 200)))
    for number in range(1, 400):
        shutil.copy(first, photos / f"{number:03d}.png")
    places = ["--json", tmp_path / "a.json", "--vis", tmp_path / "vis", "--runtime", "onnx"]
    run = subprocess.Popen(
        [sys.executable, "predict.py", bright_model, photos, *places], cwd=ROOT, stderr=subprocess.PIPE
    )
    wait_until(lambda: len(list((tmp_path / "vis").glob("*.jpg"))) > 2, 60)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and errors == b"interrupted; what was detected so far is kept\n"
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert 0 < len(images) < 400 and all(len(image["detections"]) == 1 for image in images)
