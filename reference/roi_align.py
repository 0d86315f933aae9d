"""Detectors that pool by torchvision's RoIAlign on every device."""

import copy

from torch import nn
from torchvision.ops import MultiScaleRoIAlign

from models.objects.roi_align import PyramidRoIAlign


class TorchvisionRoIAlign(PyramidRoIAlign):
    forward = MultiScaleRoIAlign.forward


def with_torchvisions_roi_align(network: nn.Module) -> nn.Module:
    """Returns a copy of a detector that pools with torchvision's RoIAlign."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, PyramidRoIAlign):
                setattr(module, name, TorchvisionRoIAlign(child.output_size[0]))
    return network
