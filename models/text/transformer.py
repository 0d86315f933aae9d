"""Visual transformer module and feature adaptation layer of KKDnet (Complex & Intelligent Systems 2024, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import conv_bn_relu, init_kaiming
from models.registry import MODELS


class Projection(nn.Conv1d):
    """1x1 convolution without bias of rows: (..., N, C) to (..., N, C')."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight[..., 0])


class Tokenizer(nn.Module):
    """Pools the N pixels of a level (B, N, C) into T tokens (B, T, C) by learned spatial attention."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.attention = Projection(channels, tokens)
        self.value = Projection(channels, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        weights = (self.attention(pixels) / pixels.shape[2] ** 0.5).softmax(dim=1)  # (B, N, T)
        return self.value(weights.transpose(1, 2) @ pixels)  # T rows to project instead of N, for the same result


class TokenEncoder(nn.Module):
    """Single-head self-attention and feed-forward over (B, T, C), with one LayerNorm over the (C, T) plane for both."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.key = Projection(channels, channels)
        self.query = Projection(channels, channels)
        self.value = Projection(channels, channels)
        self.expand = Projection(channels, channels)
        self.contract = Projection(channels, channels)
        self.norm = nn.LayerNorm((channels, tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        logits = self.query(tokens) @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5  # (B, T query, T key)
        tokens = self._normalise(tokens + logits.softmax(dim=2) @ self.value(tokens))
        return self._normalise(tokens + self.contract(F.relu(self.expand(tokens))))

    def _normalise(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens.transpose(1, 2)).transpose(1, 2)


class Projector(nn.Module):
    """Lets the pixels (B, N, C) of a level attend to the tokens (B, T, C) of that level, and adds the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = Projection(channels, channels)
        self.key = Projection(channels, channels)
        self.value = Projection(channels, channels)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        # (x W_q) . (t W_k) = x . (t W_k W_q'): the query projection goes to the T tokens, which are few.
        keys = self.key(tokens) @ self.query.weight[..., 0]  # (B, T, C)
        logits = pixels @ keys.transpose(1, 2) / pixels.shape[2] ** 0.5  # (B, N, T)
        return pixels + logits.softmax(dim=2) @ self.value(tokens)  # (B, N, C)


@MODELS.register_module()
class VisualTransformer(nn.Module):
    """Tokens of all four levels, encoded together, give each pixel the context of the whole image.

    Args:
        channels: channels of the pyramid.
        tokens: tokens per level.
        passes: number of applications of the one encoder block.
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
        levels = [level.permute(0, 2, 3, 1) for level in pyramid]  # (B, h, w, C), without a copy if channels-last
        pixels = [level.flatten(1, 2) for level in levels]  # (B, N, C)
        tokens = torch.cat([self.tokenizer(p) for p in pixels], dim=1)  # (B, 4T, C)
        for _ in range(self.passes):
            tokens = self.encoder(tokens)
        parts = tokens.split(self.tokens, dim=1)
        enhanced = [self.projector(p, t).view(level.shape) for p, t, level in zip(pixels, parts, levels)]
        return [level.permute(0, 3, 1, 2) for level in enhanced]


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
