"""Smaller exported networks: weights of 16 bits, or 8-bit arithmetic by post-training quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.experiment import Experiment
from engine.inference.predictor import Predictor
from engine.inference.sources import expand
from engine.inference.text_predictor import TextPredictor
from errors import InputError

CALIBRATION = 100  # images, at most


def with_half_weights(model: Any, bf16: bool) -> None:
    """Stores the float32 weights of an ONNX model in 16 bits, each followed by a cast; computes as before.

    Args:
        model: onnx.ModelProto, changed in place.
        bf16: bfloat16 instead of float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if bf16:
            half = helper.make_tensor(f"{name}_half", TensorProto.BFLOAT16, tensor.dims, _to_bf16(values), raw=True)
        else:
            half = numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
        tensor.CopyFrom(half)
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    for info in [info for info in model.graph.value_info if info.name in {cast.output[0] for cast in casts}]:
        model.graph.value_info.remove(info)


def _to_bf16(values: np.ndarray) -> bytes:
    """The upper 16 bits of float32 values, rounded to the nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def quantised(model: Any, metadata: Mapping[str, Any], folder: str | Path) -> Any:
    """An ONNX model whose convolutions compute with 8-bit integers, by NNCF's post-training quantisation.

    Args:
        model: onnx.ModelProto in float32.
        metadata: see metadata_of; images are scaled and normalised as these say.
        folder: images like those that it will see, of which at most CALIBRATION are taken, evenly over their names.

    Raises:
        InputError: no image in the folder, or one that cannot be read.
    """
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters

    logging.getLogger("nncf").setLevel(logging.ERROR)
    paths = [source.path for source in expand([str(folder)]) if not source.is_video]
    if not paths:
        raise InputError(f"--calibrate {folder}: holds no image")
    some = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), CALIBRATION)).astype(int))]
    scale = TextPredictor(SimpleNamespace(metadata=metadata), workers=0)

    def network_input(path: Path) -> dict[str, np.ndarray]:
        job = scale.read(path)
        if job.error is not None:
            raise job.error
        return {"images": job.image[None]}

    # 'Mixed' is for activations with a sign; onnxruntime takes no other scale of activations than one for all channels.
    return nncf.quantize(
        model,
        nncf.Dataset(some, network_input),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(some),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)
        ),
    )


def score(path: str | Path, cfg: Experiment, most: int = -1) -> dict[str, Any]:
    """Scores (`eval.evaluate`) of an exported network on `data.test` of a config, in openvino, with its test_cfg.

    Args:
        most: number of images, the first ones; -1 for all.

    Raises:
        InputError: no test split, or one that cannot be read.
    """
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    indices = range(len(dataset))[: most if most > 0 else None]
    paths = [dataset.image_path(index) for index in indices]
    short_side = cfg.data.test.transform.short_size
    predictor = Predictor.load(path, "openvino", upright=False, short_side=short_side, **cfg.test_cfg.thresholds)
    results = dict(zip((dataset.parser[index].name for index in indices), predictor(paths)))
    with tempfile.TemporaryDirectory() as folder:
        return cfg.task.score(results, dataset, cfg.test_cfg, Path(folder) / "results")
