"""Export of text detectors to ONNX, checked against PyTorch in every runtime."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from sys import float_info
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from engine.inference.quantise import quantised, with_half_weights
from engine.inference.runtimes import METADATA_KEY, RUNTIMES, require_packages
from engine.inference.torch_network import metadata_of
from engine.training.checkpoint import own_config, restore_detector
from errors import InputError
from files import check_output, write_aside
from models import SeparablePANHead
from models.fuse import fuse_batch_norm
from models.layers import upsample_to
from models.weights import read_checkpoint

PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
SIZES = ((1, 64, 96), (2, 320, 256), (1, 736, 1312))  # images, height, width
TOLERANCE, ROUNDING = 1e-3, 1e-5  # absolute; of the largest value, where float32 is not as exact
_LARGEST = 4096  # sides of an image, in multiples of the stride


class _EvenConv(nn.Conv2d):
    """timm's Conv2dSame for sides that the stride divides, which ours are: its padding is then constant."""

    def forward(self, x: Tensor) -> Tensor:
        wide, high = (kernel - stride for kernel, stride in zip(self.kernel_size[::-1], self.stride[::-1]))
        x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class HeadOfPyramid(nn.Module):
    """A SeparablePANHead, with batch norms folded, that reads the pyramid itself: equal logits, up to rounding.

    Its first convolution has one pixel, so it can come before the upsampling: at each level's own size.

    Args:
        head: the head of the concatenated levels.
        channels: channels of each level.
    """

    def __init__(self, head: SeparablePANHead, channels: Sequence[int]) -> None:
        super().__init__()
        (first, *rest), *others = head
        self.levels = nn.ModuleList(nn.Conv2d(c, first.out_channels, 1, bias=i == 0) for i, c in enumerate(channels))
        self.rest = nn.Sequential(*rest, *others)
        with torch.no_grad():
            self.levels[0].bias.copy_(first.bias)
            for level, weight in zip(self.levels, first.weight.split(list(channels), dim=1)):
                level.weight.copy_(weight)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        hidden, *smaller = (level(feature) for level, feature in zip(self.levels, pyramid))
        for level in smaller:
            hidden = hidden + upsample_to(level, hidden)
        return self.rest(hidden)


class _Maps(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector)
        head, self.head = self.detector.head, None
        if self.detector.adapter is None and isinstance(head, SeparablePANHead):
            self.head = HeadOfPyramid(head, self.detector.neck.channels)
        for module in self.detector.modules():
            if type(module).__name__ == "Conv2dSame":  # its formula for any side makes the exporter take minutes
                module.__class__ = _EvenConv

    def forward(self, images: Tensor) -> Tensor:
        if self.head is not None:
            return self.head(self.detector.pyramid(images))
        return self.detector(images).logits


PRECISIONS = ("32", "bf16", "16", "int8")


def export(
    checkpoint: str | Path, path: str | Path, precision: str = "32", images: str | Path | None = None
) -> dict[str, float]:
    """Writes the network of a checkpoint as an ONNX file, which replaces `path` only if every runtime agrees.

    The network takes `images` (B, 3, H, W) float32, normalised, B, H and W free, H and W multiples of 32, and gives
    `maps` (B, K, H/4, W/4), the logits. Batch norms are folded. The metadata, JSON under the key 'kkdnet', hold all
    that detection needs beside it: see `metadata_of`.

    Args:
        precision: '32'. 'bf16', '16': the weights are stored in 16 bits; runtimes compute in float32, openvino with
            'bf16' in bfloat16 where the processor does. 'int8': 8-bit arithmetic, see `quantise.quantised`.
        images: folder of images to calibrate 'int8' with.

    Returns:
        The largest absolute difference from PyTorch in float32 by runtime, over images of SIZES.

    Raises:
        InputError: a package is not installed; a checkpoint that cannot be read, without its config, or of an object
            detector; a place that cannot be written or is the checkpoint; with precision '32' a difference above
            TOLERANCE and ROUNDING, with another one maps that are not finite.
    """
    require_packages("export.py", *PACKAGES, *(["nncf"] if precision == "int8" else []))
    if (precision == "int8") != (images is not None):
        raise InputError("--precision int8 and --calibrate DIR go together: the folder holds images like those to come")
    check_output("OUT", path, [checkpoint], folder=False)
    content = read_checkpoint(checkpoint)
    config = own_config(content, checkpoint)
    detector = fuse_batch_norm(restore_detector(config["model"], content, checkpoint))
    if detector.task != "text":
        raise InputError(
            f"{checkpoint}: is of an object detector; only text detectors are exported (torchvision exports its R-CNNs "
            "for one image of a fixed size only)"
        )
    metadata = {**metadata_of(detector, config, content), "precision": precision}
    model = to_onnx(detector)
    if precision == "int8":
        model = quantised(model, metadata, images)
    elif precision != "32":
        with_half_weights(model, bf16=precision == "bf16")
    with write_aside(path) as aside:
        save(model, aside, metadata)
        differences, largest = compare(detector, aside)
        allowed = max(TOLERANCE, ROUNDING * largest) if precision == "32" else float_info.max
        for runtime, difference in differences.items():
            if not difference <= allowed:
                raise InputError(
                    f"{path}: not written, {runtime} differs from PyTorch by {difference:.2g}, more than {allowed:.2g}"
                )
    return differences


def to_onnx(detector: nn.Module) -> Any:
    """onnx.ModelProto of a network in evaluation mode, with free batch, height and width."""
    height, width = (detector.stride * Dim(name, min=1, max=_LARGEST) for name in ("rows", "columns"))
    example = torch.zeros(2, 3, 4 * detector.stride, 6 * detector.stride)  # sides of 1 would be taken for constants
    for name in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Maps(detector),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["maps"],
            dynamic_shapes=({0: Dim("batch", min=1), 2: height, 3: width},),
            verbose=False,
        )
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # where in this machine's files each operator comes from
    return model


def save(model: Any, path: Path, metadata: Mapping[str, Any]) -> None:
    """Writes an onnx.ModelProto with metadata."""
    import onnx

    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata, default=str)})
    onnx.save(model, path)


def compare(detector: nn.Module, path: Path) -> tuple[dict[str, float], float]:
    """Compares output maps with PyTorch's on random images of SIZES.

    Returns:
        The largest absolute difference by runtime, and PyTorch's largest absolute value.
    """
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(count, 3, height, width)).astype(np.float32) for count, height, width in SIZES]
    with torch.inference_mode():
        expected = [detector(torch.from_numpy(batch)).logits.numpy() for batch in images]
    found = {}
    for name, runtime in RUNTIMES.items():
        network = runtime(path)
        found[name] = max(float(np.abs(network(batch) - maps).max()) for batch, maps in zip(images, expected))
    return found, max(float(np.abs(maps).max()) for maps in expected)
