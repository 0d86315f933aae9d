"""Exported networks against PyTorch, and what an exported file carries."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import torch
from conftest import run_script
from text_networks import small_model

from engine.inference import Predictor
from engine.inference import export as export_module
from engine.inference.runtimes import RUNTIMES, runtime_of
from engine.training.checkpoint import load_detector, save_checkpoint
from errors import InputError
from models import SeparablePANHead, build_detector
from models.fuse import fuse_batch_norm
from models.layers import upsample_to

installed = all(find_spec(package) for package in export_module.PACKAGES)
needs_packages = pytest.mark.skipif(not installed, reason="requirement-export.txt is not installed")
ROOT = Path(__file__).parents[3]
TEST = dict(type="ICDAR2015", split="test", short_size=736)
TEST_CFG = dict(protocol="icdar2015", min_score=0.5, min_area=9, bbox_type="rect")
LIGHT = dict(
    type="TextDetector",
    backbone=dict(type="TimmBackbone", name="tf_efficientnet_lite0"),
    neck=dict(type="FPEMNeck", channels=16),
    head=dict(type="SeparablePANHead", hidden=8),
)
FINE = {**LIGHT, "head": dict(type="SeparablePANHead", hidden=8, upscale=2)}
PSENET = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="PSENetFPN", channels=16),
    head=dict(type="PSENetHead", hidden=8, kernel_num=4),
)


def checkpoint_of(model: dict, path: Path) -> torch.nn.Module:
    """Saves a detector whose batch norms have statistics of their own; returns it in evaluation mode."""
    torch.manual_seed(0)
    detector = build_detector(model)
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    config = {"model": model, "data": {"test": TEST}, "test_cfg": TEST_CFG}
    save_checkpoint(path, detector.state_dict(), config, 3, {})
    return detector.eval()


@pytest.mark.parametrize("upscale", [1, 2])
def test_the_head_of_a_pyramid_is_that_of_its_text_feature(upscale):
    torch.manual_seed(0)
    head = SeparablePANHead(64, 8, upscale).eval()
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    pyramid = [torch.randn(2, 16, 32 // 2**i, 48 // 2**i, dtype=torch.float64) for i in range(4)]
    fused = torch.cat([upsample_to(level, pyramid[0]) for level in pyramid], dim=1)
    folded = fuse_batch_norm(head)
    own = export_module.HeadOfPyramid(folded, [16] * 4).double()
    torch.testing.assert_close(own(pyramid), folded.double()(fused))


@pytest.mark.parametrize("model, stride", [(LIGHT, 4), (FINE, 2)])
def test_tiles_are_joined_at_the_stride_of_the_maps(model, stride, tmp_path):
    checkpoint_of(model, tmp_path / "a.pth.tar")
    predictor = Predictor.load(tmp_path / "a.pth.tar", device="cpu", tile=64, overlap=32)
    [maps] = predictor.run([predictor.read(np.zeros((96, 160, 3), np.uint8))])
    assert maps.shape == (6, 96 // stride, 160 // stride)


@pytest.mark.slow
@needs_packages
@pytest.mark.parametrize("model", [small_model(), LIGHT, FINE, PSENET], ids=["kkd", "light", "fine", "psenet"])
def test_an_exported_network_computes_the_maps_of_the_checkpoint(model, tmp_path):
    detector = checkpoint_of(model, tmp_path / "a.pth.tar")
    output = run_script("export.py", tmp_path / "a.pth.tar", tmp_path / "a.onnx")
    assert "onnx: largest difference" in output and "openvino: largest difference" in output
    rng = np.random.default_rng(1)
    for runtime in RUNTIMES.values():
        network = runtime(tmp_path / "a.onnx", threads=1)
        for shape in ((1, 3, 32, 64), (3, 3, 160, 96)):  # neither is one that export.py compares
            images = rng.normal(size=shape).astype(np.float32)
            with torch.no_grad():
                expected = detector(torch.from_numpy(images)).logits.numpy()
            np.testing.assert_allclose(network(images), expected, atol=1e-3)
        about = network.metadata
        assert (about["task"], about["stride"], about["map_stride"]) == ("text", 32, 2 if model is FINE else 4)
        assert about["maps"] == list(detector.head.maps)
        assert (about["short_size"], about["min_score"], about["min_area"], about["bbox_type"]) == (736, 0.5, 9, "rect")
        assert (about["config"]["model"], about["epoch"]) == (json.loads(json.dumps(model)), 3)
        assert about["mean"] == [0.485, 0.456, 0.406] and about["std"] == [0.229, 0.224, 0.225]


@pytest.mark.slow
@needs_packages
def test_every_runtime_finds_the_same_polygons(tmp_path):
    checkpoint_of(LIGHT, tmp_path / "a.pth.tar")
    export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.onnx")
    rng = np.random.default_rng(0)
    images = [cv2.blur(rng.integers(0, 256, (180 + 20 * i, 320, 3), np.uint8), (9, 9)) for i in range(10)]
    options = dict(short_side=192, min_score=0.0, min_area=64, bbox_type="rect")
    torch_found = Predictor.load(tmp_path / "a.pth.tar", device="cpu", **options)(images)
    assert sum(map(len, torch_found)) > 20
    for runtime in RUNTIMES:
        for own, other in zip(
            Predictor.load(tmp_path / "a.onnx", runtime, **options)(images), torch_found, strict=True
        ):
            assert len(own) == len(other)
            for one, two in zip(own, other):
                one, two = (shapely.Polygon(detection.polygon) for detection in (one, two))
                assert one.intersection(two).area >= 0.99 * one.union(two).area


@pytest.mark.slow
@needs_packages
def test_8_bits_change_the_maps_but_little(tmp_path):
    checkpoint_of(LIGHT, tmp_path / "a.pth.tar")
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(8):
        image = cv2.blur(rng.integers(0, 256, (96, 160, 3), np.uint8), (5, 5))
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), image)
    output = run_script("export.py", tmp_path / "a.pth.tar", tmp_path / "a.onnx", "--precision", "int8", code=2)
    assert "--precision int8 and --calibrate DIR go together" in output
    run_script(
        "export.py",
        tmp_path / "a.pth.tar",
        tmp_path / "a.onnx",
        "--precision",
        "int8",
        "--calibrate",
        tmp_path / "photos",
    )
    exact = Predictor.load(tmp_path / "a.pth.tar", device="cpu", short_side=96)
    for runtime in RUNTIMES:
        small = Predictor.load(tmp_path / "a.onnx", runtime, short_side=96)
        assert small.network.metadata["precision"] == "int8"
        [one], [two] = (list(p.stream([("image", tmp_path / "photos" / "0.png")])) for p in (exact, small))
        correlation = np.corrcoef(one.maps.ravel(), two.maps.ravel())[0, 1]
        assert 0.9 < correlation < 0.999999


@pytest.mark.slow  # an export takes half a minute
@needs_packages
def test_no_batch_norm_is_left(tmp_path):
    import onnx

    checkpoint_of(LIGHT, tmp_path / "a.pth.tar")
    export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.onnx")
    operators = {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    assert "Conv" in operators and "BatchNormalization" not in operators
    assert str(ROOT).encode() not in (tmp_path / "a.onnx").read_bytes()  # where in this checkout an operator comes from


@pytest.mark.slow  # an export takes half a minute
@needs_packages
def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch):
    checkpoint_of(small_model(), tmp_path / "a.pth.tar")
    (tmp_path / "a.onnx").write_bytes(b"earlier")
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    monkeypatch.setattr(export_module, "ROUNDING", -1.0)
    with pytest.raises(InputError, match="not written, onnx differs from PyTorch by"):
        export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.pth.tar"]


@needs_packages
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_files_that_are_not_exported_ones_are_refused(runtime, tmp_path):
    import onnx

    (tmp_path / "empty.onnx").write_bytes(b"")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    for name, message in (
        ("none.onnx", "no such file"),
        ("empty.onnx", "not an ONNX file"),
        ("other.onnx", "holds no metadata of this project"),
    ):
        with pytest.raises(InputError, match=message):
            RUNTIMES[runtime](tmp_path / name)


@pytest.mark.slow  # an export takes half a minute
@needs_packages
def test_exported_networks_run_without_torch(tmp_path):
    checkpoint_of(small_model(), tmp_path / "a.pth.tar")
    export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.onnx")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from engine.inference.runtimes import RUNTIMES\n"
        f"path, images = {str(tmp_path / 'a.onnx')!r}, np.ones((1, 3, 64, 64), np.float32)\n"
        "maps = [runtime(path)(images) for runtime in RUNTIMES.values()]\n"
        "print(np.abs(maps[0] - maps[1]).max() < 1e-3, maps[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True (1, 6, 16, 16)\n", done.stderr


@needs_packages
def test_the_checkpoint_is_not_overwritten(tmp_path):
    checkpoint_of(small_model(), tmp_path / "a.pth.tar")
    with pytest.raises(InputError, match=r"OUT .*a.pth.tar: is .* which is read and would be lost"):
        export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.pth.tar")


@needs_packages
def test_a_checkpoint_without_its_config_is_refused(tmp_path):
    torch.save({"state_dict": build_detector(small_model()).state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(InputError, match="does not hold the config that it was trained with"):
        export_module.export(tmp_path / "bare.pth", tmp_path / "a.onnx")


def test_a_missing_package_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("engine.inference.runtimes.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package onnx: pip install -r requirement-export.txt"):
        export_module.export(tmp_path / "a.pth.tar", tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "there, expected", [((), "openvino"), (("onnxruntime",), "onnx"), (("onnxruntime", "openvino"), "openvino")]
)
def test_an_exported_file_runs_in_what_is_installed(monkeypatch, tmp_path, there, expected):
    """Where nothing is, the message names the file of the smallest installation."""
    monkeypatch.setattr("engine.inference.runtimes.find_spec", lambda name: name if name in there else None)
    assert runtime_of(tmp_path / "a.onnx", None) == expected
    if not there:
        with pytest.raises(InputError, match=r"needs the package openvino: pip install -r requirement-predict.txt"):
            RUNTIMES[expected](tmp_path / "a.onnx")


def test_a_checkpoint_of_half_the_size(tmp_path):
    """Its layers' weights are those rounded to 16 bits, everything else is as it was; it loads like any other."""
    detector = checkpoint_of(small_model(), path := tmp_path / "a.pth.tar")
    half = tmp_path / "half.pth.tar"
    run_script("export.py", path, half, "--precision", "16")
    assert half.stat().st_size < 0.6 * path.stat().st_size
    before, after = (torch.load(file, weights_only=True) for file in (path, half))
    assert {**before, "state_dict": 0} == {**after, "state_dict": 0}
    loaded, _ = load_detector(small_model(), half)
    state = loaded.state_dict()
    for name, value in detector.state_dict().items():
        assert state[name].dtype == value.dtype
        assert torch.equal(state[name], value.half().float() if value.dim() > 1 else value), name

    assert "--precision 16 only" in run_script("export.py", path, tmp_path / "b.pth.tar", code=2)
    assert "would be lost" in run_script("export.py", path, path, "--precision", "16", code=2)
    ignored = [tmp_path / "b.pth.tar", "--precision", "16", "--calibrate", tmp_path]
    assert "is for --precision int8" in run_script("export.py", path, *ignored, code=2)
    next(p for p in detector.parameters() if p.dim() > 1).data.view(-1)[0] = 1e6
    save_checkpoint(path, detector.state_dict(), {}, 3, {})
    output = run_script("export.py", path, tmp_path / "c.pth.tar", "--precision", "16", code=2)
    assert "has values that 16 bits do not hold" in output and not (tmp_path / "c.pth.tar").exists()
