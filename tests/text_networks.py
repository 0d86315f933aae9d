"""A small text detector and a batch for it."""

from __future__ import annotations

import numpy as np
import torch

from dataset import TextBatch


def small_model(adapter: bool = True, depth: int = 18, channels: int = 16) -> dict:
    model = dict(
        type="TextDetector",
        backbone=dict(type="ResNet", depth=depth, width=16),
        neck=dict(type="FPEMNeck", channels=channels, shared=True),
        transformer=dict(type="VisualTransformer", channels=channels, tokens=4),
        head=dict(type="PANHead", hidden=8),
    )
    if adapter:
        model["adapter"] = dict(type="FeatureAdapter", channels=4 * channels)
    return model


def fine(model: dict) -> dict:
    """The same with maps at stride 2."""
    return {**model, "head": dict(type="SeparablePANHead", hidden=8, upscale=2)}


def random_batch(batch: int = 2, size: int = 64, seed: int = 0, kernels: int = 1) -> TextBatch:
    rng = np.random.default_rng(seed)
    labels = np.zeros((batch, size, size), np.uint8)
    labels[:, 8:24, 4:60], labels[:, 40:56, 10:50] = 1, 2
    kernel = np.zeros_like(labels)
    kernel[:, 12:21, 8:57], kernel[:, 43:53, 15:45] = 1, 1
    return TextBatch(
        images=torch.from_numpy(rng.normal(0, 1, (batch, 3, size, size)).astype(np.float32)),
        text=torch.from_numpy((labels > 0).astype(np.uint8)),
        kernels=torch.from_numpy(kernel[:, None].repeat(kernels, axis=1)),
        training_mask=torch.ones(batch, size, size, dtype=torch.uint8),
        instances=torch.from_numpy(labels),
        names=[f"image{i}" for i in range(batch)],
    )
