"""Visual transformer module and feature adaptation layer of KKDnet (Complex & Intelligent Systems 2024, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import conv_bn_relu, init_kaiming
from models.registry import MODELS


def _projection(in_channels: int, out_channels: int) -> nn.Conv1d:
    return nn.Conv1d(in_channels, out_channels, 1, bias=False)


class Tokenizer(nn.Module):
    """Pools a flattened map (B, C, N) into T tokens (B, C, T) by learned spatial attention."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.attention = _projection(channels, tokens)
        self.value = _projection(channels, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        weights = (self.attention(pixels) / pixels.shape[1] ** 0.5).softmax(dim=2)  # (B, T, N)
        return self.value(pixels) @ weights.transpose(1, 2)  # (B, C, T)


class TokenEncoder(nn.Module):
    """Single-head self-attention and feed-forward over (B, C, T), with one LayerNorm over the (C, T) plane for both."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.key = _projection(channels, channels)
        self.query = _projection(channels, channels)
        self.value = _projection(channels, channels)
        self.expand = _projection(channels, channels)
        self.contract = _projection(channels, channels)
        self.norm = nn.LayerNorm((channels, tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        logits = self.key(tokens).transpose(1, 2) @ self.query(tokens) / tokens.shape[1] ** 0.5  # (B, T key, T query)
        tokens = self.norm(tokens + self.value(tokens) @ logits.softmax(dim=1))
        return self.norm(tokens + self.contract(F.relu(self.expand(tokens))))


class Projector(nn.Module):
    """Lets the pixels (B, C, N) of a level attend to the tokens (B, C, T) of that level, and adds the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = _projection(channels, channels)
        self.key = _projection(channels, channels)
        self.value = _projection(channels, channels)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        logits = self.query(pixels).transpose(1, 2) @ self.key(tokens) / pixels.shape[1] ** 0.5  # (B, N, T)
        return pixels + self.value(tokens) @ logits.softmax(dim=2).transpose(1, 2)  # (B, C, N)


@MODELS.register_module()
class VisualTransformer(nn.Module):
    """Tokens of all four levels, encoded together, give each pixel the context of the whole image.

    Args:
        channels: channels of the pyramid.
        tokens: tokens per level.
        passes: how often the one encoder block is applied.
    """

    levels = 4

    def __init__(self, channels: int = 128, tokens: int = 32, passes: int = 2) -> None:
        super().__init__()
        self.tokens = tokens
        self.passes = passes
        self.tokenizer = Tokenizer(channels, tokens)
        self.encoder = TokenEncoder(channels, self.levels * tokens)
        self.projector = Projector(channels)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        pixels = [level.flatten(2) for level in pyramid]  # (B, C, N_l)
        tokens = torch.cat([self.tokenizer(p) for p in pixels], dim=2)  # (B, C, 4T)
        for _ in range(self.passes):
            tokens = self.encoder(tokens)
        parts = tokens.split(self.tokens, dim=2)
        return [self.projector(p, t).view_as(level) for p, t, level in zip(pixels, parts, pyramid)]


@MODELS.register_module()
class FeatureAdapter(nn.Module):
    """1x1 convolution, batch norm and ReLU on the student's text feature (B, C, h, w), before its head.

    Args:
        channels: C.
        bypass: hold the weights but leave the feature as it is. The published teacher checkpoints carry an
            adapter that their forward pass never calls; it is frozen here, since nothing trains it.
    """

    def __init__(self, channels: int = 512, bypass: bool = False) -> None:
        super().__init__()
        self.bypass = bypass
        self.layer = conv_bn_relu(channels, channels)
        self.apply(init_kaiming)
        if bypass:
            self.requires_grad_(False)

    def forward(self, feature: Tensor) -> Tensor:
        return feature if self.bypass else self.layer(feature)
