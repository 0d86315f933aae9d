"""predict.py: unusual and damaged pictures, and mistakes of the user's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_script
from exported_networks import ONE, boxes, bright_network, close_to, needs_packages, picture, predict, save
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
    written = [("--json", "a.json"), ("--jsonl", "a.jsonl"), ("--vis", "vis"), ("--crops", "crops"), ("--maps", "maps")]
    places = [word for option, name in written for word in (option, tmp_path / name)]
    done = predict_without(missing, bright_model, photos, *places)
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
