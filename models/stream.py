"""Where a computation waits for the host: the one place that tells the branches for a GPU from those for a CPU."""

from __future__ import annotations

from torch import Tensor


def stalls(tensor: Tensor) -> bool:
    """True where reading a size back from the device, as a selection of pixels must, would stall its stream.

    All pixels are then taken instead of the selected ones, for the same result. Tests set it to go the GPU's way on
    a CPU, so call it as `stream.stalls`.
    """
    return tensor.device.type != "cpu"
