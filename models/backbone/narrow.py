"""Narrower inverted residuals: channel pruning of the expansion (Li et al., ICLR 2017; Liu et al., ICCV 2017).

An inverted residual (Sandler et al., CVPR 2018) expands its input, filters each expanded channel by itself and projects
them back. Expanded channels are inside the block, so that any of them can be left out without a change elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from errors import InputError

logger = logging.getLogger(__name__)

EXPANDED = ("conv_pw.weight", "conv_dw.weight")  # whose first dimension is that of the expanded channels
NORMS = ("bn1", "bn2")
PROJECTION = "conv_pwl.weight"  # whose second is


def narrow(network: nn.Module, expansion: float) -> None:
    """Gives the inverted residuals of a timm network fewer expanded channels, with the weights of those that it keeps.

    Args:
        network: changed in place.
        expansion: ratio of the expanded channels to those of a block's input; blocks with no more stay as they are.

    Raises:
        InputError: no block has more, a block would keep none, or one weighs its channels (squeeze-and-excitation).
    """
    before = network.state_dict()
    narrower = False
    for name, block in _inverted_residuals(network):
        width = int(expansion * block.conv_pw.in_channels)
        if width < 1:
            raise InputError(f"backbone.expansion={expansion}: leaves no channel of {name}")
        if width < block.conv_pw.out_channels:
            if not isinstance(block.se, nn.Identity):
                raise InputError(f"backbone.expansion: {name} has squeeze-and-excitation, which is not narrowed")
            _resize(block, width)
            narrower = True
    if not narrower:
        raise InputError(f"backbone.expansion={expansion}: no inverted residual of the model expands more")
    network.load_state_dict(narrowed(before, network))


def narrowed(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network, without those expanded channels for which a narrower one has no place.

    The channels with the largest product of two numbers are kept, in their order: the factor of the batch norm behind
    the depthwise filter, and the sum of the absolute weights that carry the channel on.

    Args:
        state: of the wide network; blocks that are no wider, and all other weights, are handed on.
        network: the narrower one.
    """
    result = dict(state)
    before = after = 0
    for name, block in _inverted_residuals(network):
        keys = [key for key in block.state_dict(prefix=f"{name}.") if key in state]
        projection, factor = (state.get(f"{name}.{key}") for key in (PROJECTION, "bn2.weight"))
        width = block.conv_pw.out_channels
        if projection is None or factor is None or projection.shape[1] <= width:
            continue
        strength = factor.float().abs() * projection.float().abs().sum((0, 2, 3))
        kept = strength.topk(width).indices.sort().values
        before, after = before + len(strength), after + width
        for key in keys:
            part = key.removeprefix(f"{name}.")
            if part == PROJECTION:
                result[key] = state[key][:, kept]
            elif part in EXPANDED or (part.split(".")[0] in NORMS and state[key].dim()):
                result[key] = state[key][kept]
    if after:
        logger.info("kept the strongest %d of %d expanded channels", after, before)
    return result


def _inverted_residuals(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    parts = ("conv_pw", "conv_dw", "conv_pwl", *NORMS)
    for name, module in network.named_modules():
        if all(hasattr(module, part) for part in parts):
            yield name, module


def _resize(block: nn.Module, width: int) -> None:
    """Puts layers with `width` expanded channels, of any weights, into an inverted residual."""
    expand, depthwise, project = block.conv_pw, block.conv_dw, block.conv_pwl
    expand.weight = nn.Parameter(expand.weight[:width].detach().clone())
    depthwise.weight = nn.Parameter(depthwise.weight[:width].detach().clone())
    project.weight = nn.Parameter(project.weight[:, :width].detach().clone())
    expand.out_channels = project.in_channels = width
    depthwise.in_channels = depthwise.out_channels = depthwise.groups = width
    for norm in (getattr(block, name) for name in NORMS):
        norm.num_features = width
        for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
            if tensor.dim():
                values = tensor[:width].detach().clone()
                setattr(norm, name, nn.Parameter(values) if isinstance(tensor, nn.Parameter) else values)
