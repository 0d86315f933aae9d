"""torch.compile for the networks of training and testing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from errors import InputError


def compile_networks(networks: Iterable[nn.Module], backend: str | None) -> None:
    """Compiles detectors in place: of text the whole network, of objects backbone and neck.

    Names and values of the parameters stay as they are. What depends on the data (proposals, their sampling) is not
    compiled.

    Args:
        networks: models.TextDetector or RCNN.
        backend: of torch.compile, 'inductor' for one that generates code; None to compile nothing.

    Raises:
        InputError: a backend that is not there.
    """
    if backend is None:
        return
    if backend not in (known := torch.compiler.list_backends(exclude_tags=())):
        raise InputError(f"--compile {backend}: unknown, torch has {', '.join(known)}")
    for network in networks:
        parts = network.backbone.values() if isinstance(network.backbone, nn.ModuleDict) else [network]
        for part in parts:
            part.compile(backend=backend)
