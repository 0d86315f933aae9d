"""Reading weight files: local, tensors only, with errors that name the mismatch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError

logger = logging.getLogger(__name__)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Reads a state dict, bare or under 'state_dict', and removes a `module.` prefix of data-parallel training.

    Raises:
        InputError: the file is missing, truncated, or holds more than tensors and plain containers.
    """
    return state_dict_of(read_checkpoint(path), path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a whole checkpoint file on the CPU with `weights_only=True`; raises InputError as `read_weights`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; nothing is downloaded, put the file there or name another")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # comes with timm

            content = {"state_dict": load_file(path)}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, it holds more than tensors and plain containers (or is no checkpoint at all); "
            "save it again as {'state_dict': model.state_dict()}"
        ) from error
    except Exception as error:  # damaged files make the reader raise exceptions of any type
        raise InputError(f"{path}: truncated or not a PyTorch checkpoint; copy or train it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a dict with 'state_dict'")
    return content


def state_dict_of(checkpoint: Mapping[str, Any], source: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without `module.` prefixes.

    Raises:
        InputError: there are none, or one of them is refused by `check_numbers`.
    """
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping):
        raise InputError(f"{source}: 'state_dict' is a {type(state).__name__}, expected a mapping of tensors")
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        name = str(key).removeprefix("module.")
        if name in tensors:
            raise InputError(f"{source}: holds {name} twice, with and without 'module.'; remove one of them")
        if isinstance(value, Tensor):
            tensors[name] = value
        elif "state_dict" in checkpoint:
            logger.warning("%s: %s is no tensor but a %s; left out", source, key, type(value).__name__)
    if not tensors:
        if {"state", "param_groups"} <= set(state):
            raise InputError(f"{source}: holds the state of an optimiser, no weights; name a checkpoint of the network")
        raise InputError(f"{source}: holds no tensors under 'state_dict'")
    check_numbers(tensors, source)
    return tensors


def check_numbers(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuses weights that would silently make every score meaningless.

    Raises:
        InputError: names the first tensor with NaN or an infinity, the first negative variance, or a tensor that is
            not dense.
    """
    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"{source}: {name} is no dense tensor of numbers; save the plain weights of the network")
        if tensor.is_floating_point() or tensor.is_complex():
            bad = int((~(tensor.float() if tensor.itemsize == 1 else tensor).isfinite()).sum())
            if bad:
                raise InputError(
                    f"{source}: {name} holds {bad} of {tensor.numel()} values that are not finite: the training that "
                    "wrote it had diverged; use an earlier checkpoint, or train again with a lower train_cfg.lr"
                )
            if name.endswith("running_var") and tensor.numel() and float(tensor.min()) < 0:
                raise InputError(f"{source}: {name} holds a negative variance; the file is damaged, use another one")


def load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Loads every tensor, or raises InputError that names the differing keys and shapes in short, before any change."""
    missing, unexpected, reshaped = _differences(model, state)
    if missing or unexpected or reshaped:
        parts = [
            f"{len(keys)} {what} ({_shorten(keys)})"
            for keys, what in (
                (missing, "missing"),
                (unexpected, "unexpected"),
                (reshaped, "of another shape"),
            )
            if keys
        ]
        _refuse_resume_file(state, source)
        raise InputError(
            f"{source}: weights of another architecture than the config's model: {'; '.join(parts)}; "
            "use the config that it was trained with"
        )
    model.load_state_dict(dict(state))


def load_matching(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> list[str]:
    """Loads the tensors whose name and shape match; returns and logs the names left out or not found.

    Raises:
        InputError: no tensor matches.
    """
    missing, unexpected, reshaped = _differences(model, state)
    left_out = set(unexpected) | {name.split(" ")[0] for name in reshaped}
    matching = {key: value for key, value in state.items() if key not in left_out}
    if not matching:
        _refuse_resume_file(state, source)
        raise InputError(f"{source}: none of its {len(state)} tensors fits {type(model).__name__}")
    model.load_state_dict(matching, strict=False)
    logger.info("%s: loaded %d tensors", source, len(matching))
    not_loaded = sorted(left_out) + missing
    if not_loaded:
        logger.warning("%s: left out or not found: %s", source, ", ".join(not_loaded))
    return not_loaded


def _differences(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    reshaped = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    return missing, unexpected, reshaped


def _refuse_resume_file(state: Mapping[str, Tensor], source: str | Path) -> None:
    if any(name.startswith("learner.") for name in state):
        raise InputError(
            f"{source}: holds all of a training run, for --resume; name the network alone, checkpoint_last.pth.tar "
            "beside it"
        )


def _shorten(keys: list[str], most: int = 3) -> str:
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")
