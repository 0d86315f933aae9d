"""Networks exported to ONNX in the runtimes that execute them; needs numpy and the runtime, not torch."""

from __future__ import annotations

import json
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from errors import InputError

DETECTOR = Path(__file__).resolve().parents[2] / "weights/light_m_icdar2015.onnx"  # what detects unless told otherwise
MODEL_SUFFIXES = (".onnx", ".pth.tar", ".pth", ".pt", ".ckpt", ".tar", ".safetensors")
METADATA_KEY = "kkdnet"
FORMAT = 1
NEEDED = {
    "format", "task", "mean", "std", "stride", "map_stride", "maps", "short_size", "min_score", "min_area", "bbox_type",
}  # fmt: skip


def require_packages(what: str, *packages: str, file: str = "requirement-export.txt") -> None:
    """InputError for the first package that is not installed; `what` needs them, and `file` lists them."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f"{what} needs the package {package}: pip install -r {file}")


def parse_metadata(text: str | None, path: str | Path) -> dict[str, Any]:
    """The metadata that export.py writes; InputError for a file of another program, or of a later version."""
    if text is None:
        raise InputError(f"{path}: holds no metadata of this project; make it with export.py from a checkpoint")
    try:
        about = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: its metadata are damaged; export it again") from error
    if not isinstance(about, dict) or NEEDED - about.keys() or about["format"] != FORMAT:
        raise InputError(f"{path}: its metadata are of another version of this project; export it again")
    return about


def runtime_of(path: str | Path, runtime: str | None) -> str:
    """The runtime for a file: the given one, or one that takes the file and is installed.

    Raises:
        InputError: an unknown runtime, or one that does not take such a file.
    """
    exported = Path(path).suffix.lower() == ".onnx"
    if runtime is None:
        if not exported:
            return "torch"
        return "onnx" if find_spec("onnxruntime") and not find_spec("openvino") else "openvino"
    if runtime not in ("torch", *RUNTIMES):
        raise InputError(f"--runtime {runtime}: expected one of torch, {', '.join(RUNTIMES)}")
    if exported and runtime == "torch":
        raise InputError(f"{path}: is an exported network, which --runtime torch does not take; use onnx or openvino")
    if not exported and runtime != "torch":
        raise InputError(f"{path}: is no .onnx file; --runtime {runtime} takes what export.py makes of a checkpoint")
    return runtime


def load_runtime(
    path: str | Path, runtime: str, threads: int | None = None, precision: str | None = None
) -> OnnxRuntime | OpenVino:
    """An exported network in a runtime of RUNTIMES; see there.

    Raises:
        InputError: also for a precision that the runtime does not have.
    """
    if precision not in (None, "32", *(["bf16"] if runtime == "openvino" else [])):
        raise InputError(f"--precision {precision}: --runtime {runtime} does not have it; export.py has one, too")
    return RUNTIMES[runtime](path, threads, precision)


class OnnxRuntime:
    """An exported network in onnxruntime, on the CPU.

    Args:
        path: the ONNX file.
        threads: number of threads; None for the runtime's own choice.
        precision: this runtime computes as the file says.

    Attributes:
        metadata: see engine.inference.export.

    Raises:
        InputError: the runtime is not installed, or the file is missing, damaged or not one of export.py.
    """

    def __init__(self, path: str | Path, threads: int | None = None, precision: str | None = None) -> None:
        require_packages("runtime onnx", "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        _require_file(path)
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has a type of its own for every kind of damage
            raise InputError(f"{path}: not an ONNX file that onnxruntime takes; export it again") from error
        self.metadata = parse_metadata(self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Output maps (B, K, H/4, W/4) float32 of normalised images (B, 3, H, W) float32."""
        return self.session.run(None, {"images": images})[0]


class OpenVino:
    """An exported network in openvino, on the CPU; arguments and errors as OnnxRuntime's, except

    Args:
        precision: '32'; 'bf16' to compute in bfloat16 where the processor does; None: as the file was exported.
    """

    def __init__(self, path: str | Path, threads: int | None = None, precision: str | None = None) -> None:
        require_packages("runtime openvino", "openvino", file="requirement-predict.txt")
        import openvino

        _require_file(path)
        core = openvino.Core()
        settings: dict[str, Any] = {}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(str(path))
            place = ["framework", METADATA_KEY]
            text = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None
            self.metadata = parse_metadata(text, path)
            precision = precision or self.metadata.get("precision")
            settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
            self.compiled = core.compile_model(model, "CPU", settings)
            self._own = threading.local()
        except InputError:
            raise
        except Exception as error:  # see OnnxRuntime
            raise InputError(f"{path}: not an ONNX file that openvino takes; export it again") from error

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if not hasattr(self._own, "request"):  # those of one request would get each other's results
            self._own.request = self.compiled.create_infer_request()
        return self._own.request.infer(images)[0]


def _require_file(path: str | Path) -> None:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; make it with export.py from a checkpoint")


RUNTIMES = {"onnx": OnnxRuntime, "openvino": OpenVino}
