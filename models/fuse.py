"""Folding batch norms into the convolutions before them, for inference."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# By name, since importing timm, which the second of each is from, takes seconds.
_CONVOLUTIONS, _NORMS = ("Conv2d", "Conv2dSame"), ("BatchNorm2d", "BatchNormAct2d")


def fuse_batch_norm(model: nn.Module) -> nn.Module:
    """Returns a copy of a network in evaluation mode, with batch norms folded into the convolutions before them.

    A batch norm belongs to the convolution registered just before it in the same module, which holds for every
    network of this package. One that follows no convolution stays unchanged, and so does one behind a convolution of
    another kind, such as one that standardises its weights. Of timm's batch norms with an activation, which are one
    module, the activation remains.
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        previous: tuple[str, nn.Module] | None = None
        for name, child in module.named_children():
            if previous is not None and type(child).__name__ in _NORMS:
                setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
                setattr(module, name, getattr(child, "act", nn.Identity()))
            previous = (name, child) if type(child).__name__ in _CONVOLUTIONS else None
    return model
