"""Tiles, sizes, straightened instances, and smaller weights."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from exported_networks import bright_network, needs_packages, picture, save
from hypothesis import given
from hypothesis import strategies as st
from icdar_files import layout

from engine.inference import Predictor
from engine.inference.prediction_files import straightened
from engine.inference.predictor import Job
from engine.inference.text_predictor import TextPredictor, tile_places
from errors import InputError

ABOUT = {
    "stride": 32, "map_stride": 4, "maps": ["text", "kernel", *["embedding"] * 4], "mean": [0, 0, 0], "std": [1, 1, 1],
    "short_size": 736, "min_score": 0.5, "min_area": 0, "bbox_type": "poly",
}  # fmt: skip


def network(images: np.ndarray) -> np.ndarray:
    """Maps that tell where in the picture a pixel is: tiles can only be joined in one way."""
    mean = images[:, 0, ::4, ::4]
    return np.stack([mean, images[:, 1, ::4, ::4], *[mean] * 4], axis=1)


network.metadata = ABOUT


@given(
    side=st.integers(1, 60).map(lambda n: 32 * n), tile=st.integers(2, 20).map(lambda n: 32 * n), part=st.floats(0, 0.5)
)
def test_tiles_cover_a_side_once_and_overlap(side, tile, part):
    tile = min(tile, side)
    overlap = int(part * tile)
    places = tile_places(side, tile, overlap, 32)
    owned = [pixel for _, begin, end in places for pixel in range(begin, end)]
    assert owned == list(range(side))
    for start, begin, end in places:
        assert start % 32 == begin % 4 == end % 4 == 0
        assert 0 <= start <= begin < end <= start + tile <= side
    for (before, _, _), (after, _, _) in pairwise(places):
        assert before + tile - after >= overlap


@given(
    height=st.integers(1, 400), width=st.integers(1, 400), tile=st.sampled_from([64, 96, 160]),
    overlap=st.integers(0, 32), batch_size=st.integers(1, 4),
)  # fmt: skip
def test_maps_of_tiles_are_those_of_the_whole(height, width, tile, overlap, batch_size):
    predictor = TextPredictor(network, tile=tile, overlap=overlap, batch_size=batch_size)
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    job = Job("a", image, *predictor.prepare(image))
    [maps] = predictor.run([job])
    whole = image if job.size == (height, width) else cv2.resize(image, job.size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(maps[0], (whole[::4, ::4, 0] / 255).astype(np.float32))
    np.testing.assert_array_equal(maps[1], (whole[::4, ::4, 1] / 255).astype(np.float32))


@given(height=st.integers(1, 70000), width=st.integers(1, 70000), short=st.integers(32, 2000))
def test_no_picture_is_larger_than_the_limit(height, width, short):
    size = TextPredictor(network, short_side=short, long_side=2000).network_size((height, width))
    assert max(size) <= 1984 and all(side % 32 == 0 and side > 0 for side in size)


@pytest.mark.parametrize("angle", [-80, -50, -20, 0, 20, 50, 80, 90])
def test_a_crop_is_level_and_an_upright_sign_stays_upright(angle):
    height, width = 200, 200
    level = picture(height, width, (50, 90, 150, 110))
    level[90:110, 50:70] = (255, 0, 0)  # its beginning
    turn = cv2.getRotationMatrix2D((99.5, 99.5), -angle, 1)
    image = cv2.warpAffine(level, turn, (width, height))
    corners = np.array([(50, 90), (149, 90), (149, 109), (50, 109)], np.float32)
    polygon = (corners @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    crop = straightened(image, polygon)
    if abs(angle) <= 60:
        assert crop.shape[1] == pytest.approx(100, abs=2) and crop.shape[0] == pytest.approx(20, abs=2)
        assert crop[10, 8, 1] < 60 < 200 < crop[10, 8, 0] and crop[10, 90, 1] > 200  # not upside down
    else:
        assert crop.shape[0] == pytest.approx(100, abs=2) and crop.shape[1] == pytest.approx(20, abs=2)
    assert crop[2:-2, 2:-2, 0].min() > 150


@needs_packages
@pytest.mark.parametrize("bf16", [True, False])
def test_half_weights_are_rounded_and_everything_else_stays(tmp_path, bf16):
    import onnx
    import torch
    from onnx import numpy_helper

    from engine.inference.export import save
    from engine.inference.quantise import with_half_weights
    from engine.inference.runtimes import RUNTIMES

    path = bright_network(tmp_path / "a.onnx")
    model = onnx.load(path)
    weights = np.random.default_rng(0).normal(size=(6, 3, 4, 4)).astype(np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "kernel"))
    with_half_weights(model, bf16)
    assert {tensor.data_type for tensor in model.graph.initializer} == {
        onnx.TensorProto.BFLOAT16 if bf16 else onnx.TensorProto.FLOAT16
    }
    save(model, tmp_path / "half.onnx", RUNTIMES["onnx"](path).metadata)
    half = torch.bfloat16 if bf16 else torch.float16
    images = np.random.default_rng(1).normal(size=(2, 3, 32, 64)).astype(np.float32)
    bias = numpy_helper.to_array(onnx.load(path).graph.initializer[1])
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(images), *(torch.from_numpy(v.copy()).to(half).float() for v in (weights, bias)), stride=4
    )
    for runtime in RUNTIMES.values():
        np.testing.assert_allclose(runtime(tmp_path / "half.onnx")(images), expected.numpy(), atol=1e-4)


@needs_packages
def test_threads_and_precision_reach_the_runtime(tmp_path):
    path = bright_network(tmp_path / "a.onnx")
    onnx = Predictor.load(path, "onnx", threads=3)
    assert onnx.network.session.get_session_options().intra_op_num_threads == 3
    openvino = Predictor.load(path, "openvino", threads=1)  # it takes no more than there are cores
    assert openvino.network.compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert Predictor.load(path).network.__class__.__name__ == "OpenVino"
    with pytest.raises(InputError, match="--runtime onnx does not have it"):
        Predictor.load(path, "onnx", precision="bf16")
    assert Predictor.load(path, upright=False).upright is False


@needs_packages
def test_hmean_is_that_of_the_config_at_hand(tmp_path, bright_model):
    """Its split, sizes and thresholds, not those that the network was exported with."""
    from engine.experiment import load_experiment
    from engine.inference.quantise import score

    layout(tmp_path, {f"img_{n}": "10,10,60,10,60,40,10,40,word\n" for n in (1, 2)}, part="test")
    layout(tmp_path, {"img_1": "10,10,60,10,60,40,10,40,word\n"})
    for path in tmp_path.glob("Challenge4/ch4_test_images/*.png"):
        save(path, picture(48, 96, (10, 10, 60, 40)))
    save(tmp_path / "Challenge4/ch4_test_images/img_2.png", picture(48, 96))

    def hmean(*options: str, most: int = -1) -> float:
        entries = [f"data.root={tmp_path.as_posix()}", "data.test.short_size=96", *options]
        return score(bright_model, load_experiment("config/light/s_ic15.py", entries), most)["hmean"]

    assert hmean() == pytest.approx(2 / 3) and hmean(most=1) == 1
    assert hmean("test_cfg.min_score=0.999") == hmean("test_cfg.min_area=30000") == 0
    assert hmean("test_cfg.min_area=1000") == pytest.approx(2 / 3)  # an area in pixels of the scaled picture
    assert hmean("test_cfg.min_area=1000", "data.test.short_size=32") == 0


def test_options_of_an_array_and_its_result():
    predictor = TextPredictor(network, min_score=0.2, short_side=64)
    assert (predictor.min_score, predictor.min_area, predictor.bbox_type) == (0.2, 0, "poly")
    assert TextPredictor(network).short_side == ABOUT["short_size"]
    assert TextPredictor(network, tile=64).short_side is None  # the size that it has
    [detection] = predictor(picture(64, 64, (0, 0, 64, 64)))
    assert detection.score == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)
