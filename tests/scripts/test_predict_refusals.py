"""predict.py: unusual and damaged pictures, and mistakes of the user's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_script
from exported_networks import ONE, TWO, boxes, bright_network, close_to, needs_packages, picture, predict, save, video
from PIL import Image

pytestmark = needs_packages


def test_files_that_are_no_pictures_are_named_and_the_others_kept(bright_model, photos, tmp_path):
    whole = (photos / "two.png").read_bytes()
    bad = {"zero.jpg": b"", "words.png": b"no image", "cut.png": whole[: len(whole) // 2], "none.mp4": b"no video"}
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    output = predict(bright_model, photos, "--json", tmp_path / "a.json", "--vis", tmp_path / "vis", code=1)
    assert "2 images, 3 detections, 4 files skipped" in output and "Traceback" not in output
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["name"] for image in content["images"]] == ["one", "two"]
    assert {Path(skipped["file"]).name for skipped in content["skipped"]} == bad.keys()
    for name in bad:
        assert f"skipped: {photos / name}: " in output


def test_unusual_pictures_are_read(bright_model, tmp_path):
    image = picture(96, 160, ONE)
    pil = Image.fromarray(image)
    cv2.imwrite(str(tmp_path / "deep.png"), image.astype(np.uint16) * 257)
    pil.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    pil.convert("P").save(tmp_path / "palette.png", transparency=7)
    pil.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", pil.size)])
    Image.new("RGB", (1, 1)).save(tmp_path / "point.png")
    save(tmp_path / "wide.png", picture(40, 60000, (100, 4, 59000, 36)))
    output = predict(bright_model, tmp_path, "--json", tmp_path / "a.json")
    found = {image["name"]: boxes(image) for image in json.loads((tmp_path / "a.json").read_text())["images"]}
    for name in ("deep", "cmyk", "palette", "moving"):
        assert close_to(found[name], [ONE]), name
    assert found["point"] == []
    assert "moving.gif: has 2 frames or pages; the first is taken" in output
    assert "wide.png: is scaled to 32x1536 pixels, less than asked for; --tile takes it in full size" in output


def test_what_is_wrong_is_one_line_before_a_picture_is_read(bright_model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    drawings = tmp_path / "drawings"
    predict(bright_model, photos, "--vis", drawings)
    cases = [
        ([photos / "three.png"], "three.png: there is no such file or folder"),
        ([tmp_path / "*.tif"], "there is no such file or folder, and no file of that pattern"),
        ([drawings.parent / "empty"], "there is no such file"),
        ([photos, "--json", tmp_path / "file" / "a.json"], "--json"),
        ([photos, "--json", bright_model], "is read and would be lost"),
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
        ([photos, "--tile", 128, "--long-side", 640], "--long-side: has no meaning with --tile"),
        ([photos, "--overlap", 64], "--overlap: has no meaning without --tile"),
        ([photos, "--json", tmp_path / "a.json", "--scores"], "--scores: are for the files of --txt"),
        ([photos, "--vis", tmp_path / "t", "--crops", tmp_path / "t"], "name folders of their own"),
        ([photos, "--device", "cuda"], "--device cuda: --runtime onnx is on the CPU"),
        ([photos, "--batch-size", 0], "expected 1 or more"),
        ([photos, "--precision", "16"], "--runtime onnx does not have it"),
    ]
    for arguments, message in cases:
        output = predict(bright_model, *arguments, code=2)
        assert message in output and "Traceback" not in output and output.count("\n") == 1, (arguments, output)
        assert "skipped" not in output
    assert not (tmp_path / "t").exists()


def test_models_and_runtimes_that_do_not_go_together(bright_model, photos, tmp_path):
    (tmp_path / "a.pth.tar").write_bytes(b"")
    for wrong, runtime, message in (
        (bright_model, "torch", "is an exported network, which --runtime torch does not take"),
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


def test_metadata_that_are_damaged(photos, tmp_path):
    import onnx

    for content, message in (
        ("{", "are damaged"),
        ("[]", "are of another version"),
        ('{"format": 1}', "another version"),
    ):
        damaged = onnx.load(bright_network(tmp_path / "a.onnx"))
        onnx.helper.set_model_props(damaged, {"kkdnet": content})
        onnx.save(damaged, tmp_path / "a.onnx")
        for runtime in ("onnx", "openvino"):
            output = predict(tmp_path / "a.onnx", photos, code=2, runtime=runtime)
            assert message in output and output.count("\n") == 1


def lines_of(name: str) -> set[str]:
    """What a requirement file asks for."""
    return {line for line in (ROOT / f"requirement{name}.txt").read_text().splitlines() if line[:1] not in ("", "#")}


def packages_of(name: str) -> set[str]:
    """The packages of a requirement file as they are imported."""
    names = {re.split("[>=]", line)[0] for line in lines_of(name)}
    other = {"opencv-python": "cv2", "pillow": "PIL", "scikit-learn": "sklearn", "faster-coco-eval": "faster_coco_eval"}
    return {other.get(name, name) for name in names}


def predict_without(packages: set[str], *arguments: object) -> subprocess.CompletedProcess:
    """predict.py, where these packages are not installed."""
    program = f"import sys, runpy; sys.path.insert(0, '.'); sys.modules |= dict.fromkeys({packages})\n"
    program += "sys.argv = sys.argv[1:]; runpy.run_path('predict.py', run_name='__main__')"
    run = [sys.executable, "-c", program, "predict.py", *map(str, arguments)]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True)


def test_pictures_need_no_more_than_requirement_predict(bright_model, photos, tmp_path):
    assert lines_of("-predict") < lines_of("") | lines_of("-export")  # in the same versions
    missing = (packages_of("") | packages_of("-export")) - packages_of("-predict")
    assert {"torch", "torchvision", "scipy", "shapely", "onnx", "onnxruntime"} <= missing
    for option, name in (("--json", "a.json"), ("--jsonl", "a.jsonl")):
        pictures = [word for kind in ("vis", "crops", "maps") for word in (f"--{kind}", tmp_path / kind)]
        done = predict_without(missing, bright_model, photos, option, tmp_path / name, *pictures)
        assert done.returncode == 0, done.stderr
        assert "2 images, 3 detections, 0 files skipped" in done.stdout and "(openvino)" in done.stdout
    assert {path.name for path in (tmp_path / "crops").iterdir()} == {"one_0.jpg", "two_0.jpg", "two_1.jpg"}


def test_a_checkpoint_without_torch_is_one_line(photos, tmp_path):
    (tmp_path / "a.pth.tar").write_bytes(b"")
    done = predict_without({"torch"}, tmp_path / "a.pth.tar", photos)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "is a checkpoint, which needs the package torch: pip install -r requirement.txt" in done.stderr


def test_what_export_py_would_ignore_is_refused(tmp_path):
    for options, message in (
        (["--max-steps", 3], "are for the measurement on --config, which is not given"),
        (["--config", "config/light/s_ic15.py"], "--config: goes with --precision int8"),
        (["--precision", "int8", "--config", "config/multineck/faster_r50_coco.py"], "--config: is for text detectors"),
    ):
        output = run_script("export.py", tmp_path / "none.pth", tmp_path / "a.onnx", *options, code=2)
        assert message in output and output.count("\n") == 1


def test_a_photograph_is_not_replaced_by_a_json_file(bright_model, photos, tmp_path):
    """As where a shell puts the first of `*.png` behind `--json`."""
    before = (photos / "one.png").read_bytes()
    assert "is a file of another kind" in predict(
        bright_model, "--json", photos / "one.png", photos / "two.png", code=2
    )
    assert (photos / "one.png").read_bytes() == before
    for _ in range(2):  # its own file is
        predict(bright_model, photos, "--json", tmp_path / "a.json")


def test_what_an_interrupted_run_cannot_go_on_with_is_refused(bright_model, photos, tmp_path):
    both = ["--json", tmp_path / "a.json", "--jsonl", tmp_path / "a.jsonl"]
    assert "--json, --jsonl: give one; tools/merge_predictions.py" in predict(bright_model, photos, *both, code=2)
    clip = video(tmp_path / "clip.avi", 6)
    command = [bright_model, clip, "--jsonl", tmp_path / "a.jsonl", "--vis", tmp_path / "vis"]
    predict(*command)
    whole = (tmp_path / "vis" / "clip.mp4").read_bytes()
    assert "6 images were done before" in predict(*command)
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:4]))
    assert "the 3 frames before are those of an earlier run" in predict(*command, code=2)
    assert (tmp_path / "vis" / "clip.mp4").read_bytes() == whole
    assert "3 images, " in predict(*command[:-2])


def test_a_video_that_is_cut_off_is_named(bright_model, tmp_path):
    clip = video(tmp_path / "clip.avi", 40)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    output = predict(bright_model, clip, "--json", tmp_path / "a.json", code=1)
    content = json.loads((tmp_path / "a.json").read_text())
    [entry], [skipped] = content["images"], content["skipped"]
    assert 10 < len(entry["frames"]) < 30 and f"ends after {len(entry['frames'])} of 40 frames" in skipped["error"]
    assert skipped["error"] in " ".join(output.split())
    predict(bright_model, clip, "--jsonl", tmp_path / "a.jsonl", code=1)
    run_script("tools/merge_predictions.py", tmp_path / "b.json", tmp_path / "a.jsonl")
    assert json.loads((tmp_path / "b.json").read_text()) == content


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_not_utf_8(bright_model, photos, tmp_path):
    """A video of such a name would end the process."""
    shutil.copy(photos / "one.png", os.fsencode(photos) + b"/caf\xe9.png")
    shutil.copy(video(tmp_path / "clip.avi", 3), os.fsencode(photos) + b"/clip\xe9.avi")
    output = predict(bright_model, photos, "--jsonl", tmp_path / "a.jsonl", code=1)
    assert "3 images, 4 detections, 1 files skipped" in output and "its name is not UTF-8; rename the video" in output
    output = predict(bright_model, photos, "--json", tmp_path / "a.json", code=1)
    assert "3 images, 4 detections, 1 files skipped" in output


def test_a_picture_that_no_jpeg_can_hold_is_not_drawn_and_its_text_is_kept(bright_model, photos, tmp_path):
    long = np.zeros((70, 70_000, 3), np.uint8)
    long[8:40, 69_000:69_100] = 255
    save(photos / "long.png", long)
    places = [part for name in ("vis", "maps", "crops") for part in (f"--{name}", tmp_path / name)]
    output = predict(bright_model, photos, "--tile", 96, "--overlap", 32, "--json", tmp_path / "a.json", *places)
    assert "3 images, 4 detections, 0 files skipped" in output
    assert "long.jpg: is not written: has 70000x70 pixels, a JPEG file 65500 a side at most" in " ".join(output.split())
    assert {path.name for path in (tmp_path / "vis").iterdir()} == {"one.jpg", "two.jpg"}
    crop = cv2.imread(str(tmp_path / "crops" / "long_0.jpg"))
    assert np.abs(np.array(crop.shape[:2]) - (32, 100)).max() <= 4 and crop.min() > 150


@pytest.mark.skipif(sys.platform != "linux", reason="a limit that stands for a full disk")
def test_a_video_that_could_not_be_written_is_no_success(bright_model, tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (96, 160, 3), np.uint8) for _ in range(20)]
    clip = video(tmp_path / "noise.avi", 20, frames)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
    start = "import runpy; sys.argv = sys.argv[1:]; runpy.run_path('predict.py', run_name='__main__')"
    command = [sys.executable, "-c", limit + start, "predict.py", bright_model, clip, "--runtime", "onnx"]
    done = subprocess.run([*command, "--vis", tmp_path / "vis"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "noise.mp4: could not be written; is the disk full?" in done.stderr, done.stderr
    assert not list((tmp_path / "vis").iterdir())


def test_what_a_folder_holds_besides_is_counted(bright_model, photos, tmp_path):
    for name in ("a.heic", "b.HEIC", "c.pdf", ".hidden.txt", "noext"):
        (photos / name).write_text("no picture")
    save(photos / "old.jpg", picture(96, 160, ONE)).rename(photos / "old.jfif")
    output = predict(bright_model, photos, "--json", tmp_path / "a.json")
    assert "4 files of other kinds are left out (.heic, .pdf, no suffix)" in " ".join(output.split())
    assert "3 images, 4 detections" in output


def test_frames_and_pictures_of_one_name_are_kept_apart_and_old_crops_go(bright_model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    video(folder / "clip.avi", 3)
    save(folder / "clip_000001.png", picture(96, 160, ONE, TWO))
    command = [bright_model, folder, "--txt", tmp_path / "txt", "--crops", tmp_path / "crops", "--bbox-type", "rect"]
    assert "4 images, 5 detections" in predict(*command)
    names = {"res_clip_000001_2.txt", *(f"res_clip_00000{n}.txt" for n in range(3))}
    assert {path.name for path in (tmp_path / "txt").iterdir()} == names
    crops = {f"clip_00000{n}_0.jpg" for n in range(3)}
    assert {path.name for path in (tmp_path / "crops").iterdir()} == crops | {f"clip_000001_2_{n}.jpg" for n in (0, 1)}
    save(folder / "clip_000001.png", picture(96, 160, ONE))
    predict(*command)
    assert {path.name for path in (tmp_path / "crops").iterdir()} == crops | {"clip_000001_2_0.jpg"}


def test_a_box_is_found_where_it_is_at_any_size(bright_model, tmp_path):
    """Of pixel centres: its ends are those of the outermost pixels of the scaled picture, in the middle of theirs."""
    save(tmp_path / "a.png", picture(384, 640, (64, 32, 320, 96)))
    predict(bright_model, tmp_path / "a.png", "--json", tmp_path / "a.json")  # scaled to a quarter
    [detection] = json.loads((tmp_path / "a.json").read_text())["images"][0]["detections"]
    found = np.array(detection["polygon"])
    assert [*found.min(0), *found.max(0)] == [64 + 1.5, 32 + 1.5, 320 - 2.5, 96 - 2.5]
