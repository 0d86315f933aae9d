"""Parameter names of published KKDnet, PAN and PSENet checkpoints, mapped to those of this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

_SECOND, _FIRST = "fpem2.", "fpem1."
_COUNTER = "num_batches_tracked"


# Published layer to layer of this project. The backbone is left out: its layers have the same names in both.
_PLAIN = {
    "tokenizer.W_a": "transformer.tokenizer.attention",
    "tokenizer.W_v": "transformer.tokenizer.value",
    "transformer.key_proj": "transformer.encoder.key",
    "transformer.query_proj": "transformer.encoder.query",
    "transformer.value_proj": "transformer.encoder.value",
    "transformer.f1": "transformer.encoder.expand",
    "transformer.f2": "transformer.encoder.contract",
    "transformer.norm": "transformer.encoder.norm",
    "projector.W_q": "transformer.projector.query",
    "projector.W_k": "transformer.projector.key",
    "projector.W_v": "transformer.projector.value",
    "det_head.conv1": "head.conv1",
    "det_head.bn1": "head.bn1",
    "det_head.conv2": "head.conv2",
}
_CONV_BN_RELU = {
    **{f"reduce_layer{i + 1}": f"neck.reduce.{i}" for i in range(4)},
    "reduce_layer_ts": "adapter.layer",
    "fpn.toplayer_": "neck.top",
    **{f"fpn.latlayer{i + 1}_": f"neck.lateral.{i}" for i in range(3)},
    **{f"fpn.smooth{i + 1}_": f"neck.smooth.{i}" for i in range(3)},
}
for _fpem in ("fpem1", "fpem2"):
    for _i in range(3):  # 'A_B' is level A (1 is stride 4) of path B (1 up, 2 down)
        for _level, _path in ((f"{_i + 1}_1", f"up.{_i}"), (f"{_i + 2}_2", f"down.{_i}")):
            _PLAIN[f"{_fpem}.dwconv{_level}"] = f"neck.{_fpem}.{_path}.0"
            _CONV_BN_RELU[f"{_fpem}.smooth_layer{_level}"] = f"neck.{_fpem}.{_path}.1"
_LAYERS = {
    **_PLAIN,
    **{f"{published}.conv": f"{own}.0" for published, own in _CONV_BN_RELU.items()},
    **{f"{published}.bn": f"{own}.1" for published, own in _CONV_BN_RELU.items()},
}


def own_key(key: str) -> str | None:
    """Name in this project of a tensor of a published checkpoint, such as 'reduce_layer1.conv.weight'.

    None for tensors that belong to no detector: the backbone's classifier, recognition heads, anything unknown.
    """
    if key.startswith("backbone."):
        return None if key.startswith("backbone.fc.") else key
    layer, _, tensor = key.rpartition(".")
    return f"{_LAYERS[layer]}.{tensor}" if layer in _LAYERS else None


class Translation(NamedTuple):
    """A published state dict under this project's names.

    Attributes:
        state: the tensors that fit the network, in its shapes.
        matched: number of published tensors that found their place.
        unused: published tensors that belong to no detector of this project; harmless.
        problems: one line for every other tensor that has no counterpart of its shape, on either side. Without any,
            `state` is complete.
    """

    state: dict[str, Tensor]
    matched: int
    unused: list[str]
    problems: list[str]


def translate(published: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Translation:
    """Brings a published state dict (without `module.`) into the names and shapes of the network with state `own`.

    KKDnet's one FPEM stands in its checkpoints under two names. Where `own` has one FPEM, the second set must
    equal the first. Batch counters, which old files lack, start at 0.
    """
    state: dict[str, Tensor] = {}
    unused, problems, misfits, repeated = [], [], set(), 0
    for key, tensor in published.items():
        name = own_key(key)
        if name is None:
            unused.append(key)
        elif name not in own and key.startswith(_SECOND) and name.replace(_SECOND, _FIRST) in own:
            if _equal(tensor, published.get(key.replace(_SECOND, _FIRST))):
                repeated += 1
            else:
                problems.append(f"{key} differs from that of fpem1, and the config has model.neck.shared=True")
        elif name not in own:
            problems.append(f"{key} has no place in the config's model ({name})")
        elif _core(tensor) != _core(own[name]):
            misfits.add(name)
            problems.append(f"{key} is {tuple(tensor.shape)}, the config's model has {tuple(own[name].shape)} ({name})")
        else:
            state[name] = tensor.reshape(own[name].shape)
    matched = len(state) + repeated
    state |= {name: torch.zeros_like(own[name]) for name in own if name.endswith(_COUNTER) and name not in state}
    problems += [f"{name} was not found" for name in own if name not in state and name not in misfits]
    return Translation(state, matched, unused, problems)


def _equal(tensor: Tensor, other: Tensor | None) -> bool:
    return other is not None and tensor.dtype == other.dtype and torch.equal(tensor, other)


def _core(tensor: Tensor) -> tuple[int, ...]:
    """The shape without singleton axes at its end: 1x1 convolutions are also stored as matrices."""
    shape = tuple(tensor.shape)
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
