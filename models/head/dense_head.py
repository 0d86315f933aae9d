"""The head that turns the text feature into text, kernel and embedding maps (PAN, section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers import init_kaiming
from models.registry import MODELS


@MODELS.register_module()
class PANHead(nn.Module):
    """3x3 convolution, batch norm, ReLU, 1x1 convolution.

    Args:
        in_channels: channels of the text feature.
        hidden: channels between the two convolutions.
        out_channels: 0 text logit, 1 kernel logit, 2-5 pixel embedding.
    """

    def __init__(self, in_channels: int = 512, hidden: int = 128, out_channels: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(hidden, out_channels, 1)
        self.apply(init_kaiming)

    def forward(self, feature: Tensor) -> Tensor:
        return self.conv2(self.relu(self.bn1(self.conv1(feature))))
