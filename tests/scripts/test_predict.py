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
from conftest import ROOT, run_script
from exported_networks import bright_network, needs_packages, picture
from PIL import Image
from processes import wait_until

from eval import PROTOCOLS

pytestmark = needs_packages
ONE, TWO = (16, 8, 80, 24), (32, 48, 128, 80)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return bright_network(tmp_path_factory.mktemp("model") / "bright.onnx")


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    save(folder / "one.png", picture(96, 160, ONE))
    save(folder / "two.png", picture(96, 160, ONE, TWO))
    return folder


def save(path: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def predict(*arguments: object, code: int = 0, runtime: str = "onnx") -> str:
    return run_script("predict.py", *arguments, "--runtime", runtime, code=code)


def boxes(image: dict) -> list[list[int]]:
    """Bounds of the detections of an entry of the JSON file, to whole maps' pixels."""
    found = [np.array(detection["polygon"]) for detection in image["detections"]]
    return sorted([*np.rint(polygon.min(0)).tolist(), *np.rint(polygon.max(0)).tolist()] for polygon in found)


def close_to(found: list, expected: list) -> bool:
    return len(found) == len(expected) and np.abs(np.array(found) - np.array(sorted(map(list, expected)))).max() <= 3


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_everything_it_writes(model, photos, tmp_path, runtime):
    places = {name: tmp_path / name for name in ("txt", "vis", "crops", "maps")}
    options = [part for name, place in places.items() for part in (f"--{name}", place)]
    output = predict(model, photos, "--json", tmp_path / "all.json", *options, "--scores", runtime=runtime)
    assert "2 images, 3 detections, 0 files skipped" in output and f"images/s ({runtime})" in output
    content = json.loads((tmp_path / "all.json").read_text())
    assert (content["runtime"], content["task"], content["skipped"]) == (runtime, "text", [])
    one, two = content["images"]
    assert (one["file"], one["name"], one["width"], one["height"]) == (str(photos / "one.png"), "one", 160, 96)
    assert close_to(boxes(one), [ONE]) and close_to(boxes(two), [ONE, TWO])
    assert all(0.99 < detection["score"] <= 1 for image in (one, two) for detection in image["detections"])

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


def test_result_files_are_those_that_the_benchmark_reads(model, photos, tmp_path):
    predict(model, photos, "--txt", tmp_path / "a", "--txt-format", "total_text", "--bbox-type", "poly")
    found = PROTOCOLS["total_text"].results.read(tmp_path / "a")
    assert {name: len(polygons) for name, polygons in found.items()} == {"one": 1, "two": 2}
    [polygon] = found["one"]
    assert np.abs([*polygon.min(0), *polygon.max(0)] - np.array(ONE)).max() <= 3


def test_without_options_pictures_and_json_go_to_outputs(model, photos, tmp_path):
    run = [sys.executable, ROOT / "predict.py", model, photos / "*.png", "--runtime", "onnx"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    out = tmp_path / "outputs" / "predict"
    assert {path.name for path in out.iterdir()} == {"one.jpg", "two.jpg", "predictions.json"}


def test_thresholds_and_sizes_reach_the_detector(model, photos, tmp_path):
    def count(*options) -> int:
        predict(model, photos / "two.png", "--json", tmp_path / "a.json", *options)
        return len(json.loads((tmp_path / "a.json").read_text())["images"][0]["detections"])

    assert count() == 2
    assert count("--min-score", 0.999) == 0
    assert count("--min-area", 1500) == 1
    assert count("--short-side", 192, "--min-area", 1500) == 2  # an area in pixels of the scaled picture
    assert count("--short-side", 192, "--long-side", 160, "--min-area", 1500) == 1


@pytest.mark.parametrize("options", [["--workers", 0], ["--batch-size", 3, "--workers", 3], ["--threads", 1]])
def test_order_and_results_do_not_depend_on_how_it_runs(model, tmp_path, options):
    files = []
    for number in range(7):
        size = (96, 160) if number % 3 else (160, 96)
        files.append(save(tmp_path / f"{number}.png", picture(*size, (8 * number, 8, 8 * number + 32, 40))))
    predict(model, *reversed(files), "--json", tmp_path / "a.json", *options)
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [image["name"] for image in images] == list("6543210")
    for image in images:
        left = 8 * int(image["name"])
        assert close_to(boxes(image), [(left, 8, left + 32, 40)])


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_polygons_are_those_of_the_upright_picture(model, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, clockwise, to be upright
    stored = np.rot90(picture(96, 160, ONE), 1)
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    predict(model, tmp_path / f"a.{suffix}", "--json", tmp_path / "a.json", "--vis", tmp_path / "vis")
    [image] = json.loads((tmp_path / "a.json").read_text())["images"]
    assert (image["width"], image["height"]) == (160, 96) and close_to(boxes(image), [ONE])
    assert cv2.imread(str(tmp_path / "vis" / "a.jpg")).shape == (96, 160, 3)


def test_a_large_picture_is_taken_tile_by_tile_as_if_whole(model, tmp_path):
    across = (40, 200, 600, 230)  # longer than a tile: its parts are one instance
    save(tmp_path / "a.png", picture(320, 640, across, (300, 20, 340, 60)))
    for name, options in {"whole": ["--short-side", 320], "tiled": ["--tile", 128, "--overlap", 64]}.items():
        predict(model, tmp_path / "a.png", "--json", tmp_path / f"{name}.json", *options, "--batch-size", 3)
    whole, tiled = (json.loads((tmp_path / f"{name}.json").read_text())["images"] for name in ("whole", "tiled"))
    assert close_to(boxes(tiled[0]), [across, (300, 20, 340, 60)])
    assert whole == tiled


def test_names_that_meet_are_kept_apart(model, photos, tmp_path):
    (photos / "deep").mkdir()
    save(photos / "deep" / "one.png", picture(96, 160))
    output = predict(model, photos / "**" / "*.png", "--vis", tmp_path / "vis", "--json", tmp_path / "a.json")
    assert "3 images" in output
    assert {path.name for path in (tmp_path / "vis").iterdir()} == {"one.jpg", "one_2.jpg", "two.jpg"}
    found = {Path(i["file"]).parent.name: i["name"] for i in json.loads((tmp_path / "a.json").read_text())["images"]}
    assert found["deep"] in ("one", "one_2")


def video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 96))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(96, 160, (16 * number, 16, 16 * number + 48, 48)))
    writer.release()
    return path


def test_a_video_gives_a_video(model, tmp_path):
    path = video(tmp_path / "clip.avi", 5)
    output = predict(
        model, path, "--json", tmp_path / "a.json", "--vis", tmp_path / "vis", "--crops", tmp_path / "crops"
    )
    assert "5 images, 5 detections" in output
    [entry] = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [(frame["frame"], frame["seconds"]) for frame in entry["frames"]] == [(i, i / 10) for i in range(5)]
    for number, frame in enumerate(entry["frames"]):
        assert np.abs(np.array(boxes(frame)) - [16 * number, 16, 16 * number + 48, 48]).max() <= 4
    drawn = cv2.VideoCapture(str(tmp_path / "vis" / "clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (5, 10)
    assert len(list((tmp_path / "crops").glob("clip_00000?_0.jpg"))) == 5


def test_files_that_are_no_pictures_are_named_and_the_others_kept(model, photos, tmp_path):
    whole = (photos / "two.png").read_bytes()
    bad = {"zero.jpg": b"", "words.png": b"no image", "cut.png": whole[: len(whole) // 2], "none.mp4": b"no video"}
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    output = predict(model, photos, "--json", tmp_path / "a.json", "--vis", tmp_path / "vis", code=1)
    assert "2 images, 3 detections, 4 files skipped" in output and "Traceback" not in output
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["name"] for image in content["images"]] == ["one", "two"]
    assert {Path(skipped["file"]).name for skipped in content["skipped"]} == bad.keys()
    for name in bad:
        assert f"skipped: {photos / name}: " in output


def test_unusual_pictures_are_read(model, tmp_path):
    image = picture(96, 160, ONE)
    pil = Image.fromarray(image)
    cv2.imwrite(str(tmp_path / "deep.png"), image.astype(np.uint16) * 257)
    pil.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    pil.convert("P").save(tmp_path / "palette.png", transparency=7)
    pil.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", pil.size)])
    Image.new("RGB", (1, 1)).save(tmp_path / "point.png")
    save(tmp_path / "wide.png", picture(40, 60000, (100, 4, 59000, 36)))
    output = predict(model, tmp_path, "--json", tmp_path / "a.json")
    found = {image["name"]: boxes(image) for image in json.loads((tmp_path / "a.json").read_text())["images"]}
    for name in ("deep", "cmyk", "palette", "moving"):
        assert close_to(found[name], [ONE]), name
    assert found["point"] == []
    assert "moving.gif: has 2 frames or pages; the first is taken" in output
    assert "wide.png: is scaled to 32x1536 pixels, less than asked for; --tile takes it in full size" in output


def test_what_is_wrong_is_one_line_before_a_picture_is_read(model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    drawings = tmp_path / "drawings"
    predict(model, photos, "--vis", drawings)
    cases = [
        ([photos / "three.png"], "three.png: there is no such file or folder"),
        ([tmp_path / "*.tif"], "there is no such file or folder, and no file of that pattern"),
        ([drawings.parent / "empty"], "there is no such file"),
        ([photos, "--json", tmp_path / "file" / "a.json"], "--json"),
        ([photos, "--json", model], "is read and would be lost"),
        ([photos, "--json", photos / "one.png"], "is read and would be lost"),
        ([photos, "--vis", photos], "--vis"),
        ([drawings, "--vis", drawings], "is read and could be lost"),
        ([photos, "--txt", photos], "is no result file"),
        ([photos, "--txt", tmp_path / "t", "--bbox-type", "poly"], "add --bbox-type rect"),
        ([photos, "--txt", tmp_path / "t", "--txt-format", "icdar"], "--txt-format icdar: expected one of"),
        ([photos, "--min-score", 88], "--min-score 88: expected a number from 0 to 1"),
        ([photos, "--min-area", "nan"], "--min-area nan: expected 0 or more"),
        ([photos, "--short-side", 8], "--short-side 8: expected 32 or more"),
        ([photos, "--tile", 100], "--tile 100: expected a multiple of 32"),
        ([photos, "--tile", 128, "--overlap", 100], "--overlap 100: expected 0 to 64"),
        ([photos, "--batch-size", 0], "expected 1 or more"),
        ([photos, "--precision", "16"], "--runtime onnx does not have it"),
    ]
    for arguments, message in cases:
        output = predict(model, *arguments, code=2)
        assert message in output and "Traceback" not in output and output.count("\n") == 1, (arguments, output)
        assert "skipped" not in output
    assert not (tmp_path / "t").exists()


def test_models_and_runtimes_that_do_not_go_together(model, photos, tmp_path):
    (tmp_path / "a.pth.tar").write_bytes(b"")
    for wrong, runtime, message in (
        (model, "torch", "is an exported network, which --runtime torch does not take"),
        (tmp_path / "a.pth.tar", "onnx", "is no .onnx file; --runtime onnx takes what export.py makes of a checkpoint"),
        (tmp_path / "none.onnx", "onnx", "no such file"),
        (bright_network(tmp_path / "later.onnx", format=2), "onnx", "of another version"),
    ):
        output = predict(wrong, photos, code=2, runtime=runtime)
        assert message in output and output.count("\n") == 1


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_maps_that_are_not_finite_are_named(photos, tmp_path, runtime):
    model = bright_network(tmp_path / "nan.onnx", weight=float("nan"))
    output = predict(model, photos / "one.png", "--json", tmp_path / "a.json", code=2, runtime=runtime)
    assert f"image {photos / 'one.png'}: the maps that the network computes are not finite" in output


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


def test_onnxruntime_numpy_and_opencv_are_enough(model, photos, tmp_path):
    places = [part for name in ("json", "vis", "crops", "maps") for part in (f"--{name}", tmp_path / f"{name}.json")]
    run = [sys.executable, "-c", WITHOUT, "predict.py", model, photos, *places]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "images/s (onnx)" in done.stdout
    predict(model, photos, "--json", tmp_path / "all.json")
    bare, full = (json.loads((tmp_path / f"{name}.json").read_text())["images"] for name in ("json", "all"))
    assert bare == full and sum(len(image["detections"]) for image in bare) == 3
    refused = subprocess.run([*run[:6], "--txt", tmp_path / "t"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2 and "--txt needs the package shapely" in refused.stderr


def test_what_was_detected_before_ctrl_c_is_kept(model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    first = save(photos / "000.png", picture(960, 1600, (100, 100, 400, 200)))
    for number in range(1, 400):
        shutil.copy(first, photos / f"{number:03d}.png")
    places = ["--json", tmp_path / "a.json", "--vis", tmp_path / "vis", "--runtime", "onnx"]
    run = subprocess.Popen([sys.executable, "predict.py", model, photos, *places], cwd=ROOT, stderr=subprocess.PIPE)
    wait_until(lambda: len(list((tmp_path / "vis").glob("*.jpg"))) > 2, 60)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and errors == b"interrupted; what was detected so far is kept\n"
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert 0 < len(images) < 400 and all(len(image["detections"]) == 1 for image in images)
