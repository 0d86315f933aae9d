"""Floating-point precision of a network, and the device that it runs on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from errors import InputError

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # -> names of the training library
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """Mixed precision for 'bf16' and '16', nothing for '32'."""
    return nullcontext() if precision == "32" else torch.autocast(device.type, DTYPES[precision])


def resolve_device(name: str) -> torch.device:
    """'auto', 'cpu' or 'cuda' to a device; InputError if no CUDA device is available."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu, or mend the driver")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def fastest_precision() -> str:
    """'bf16' where this machine's device multiplies bfloat16 in hardware, else '32'."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "32"


def check_precision(precision: str, device: torch.device, option: str = "--precision") -> None:
    """InputError for float16 on a CPU, which has no useful mixed precision of that kind."""
    if precision == "16" and device.type == "cpu":
        raise InputError(f"{option} 16: float16 needs a GPU; use {option} bf16 on a CPU")
