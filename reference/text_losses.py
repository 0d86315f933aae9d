"""Literal, slow versions of the losses, written from their definitions: one image, one instance at a time.

Those of the detectors are differentiable and compute in the type of the maps that they are given.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def ohem(score: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """Mask of hard examples of one image; all arguments (H, W)."""
    positives = int(((text == 1) & (mask == 1)).sum())
    negatives = score[text == 0].sort(descending=True).values
    number = min(3 * positives, len(negatives))
    if number == 0:
        return mask.to(score.dtype)
    return (((score >= negatives[number - 1]) | (text == 1)) & (mask == 1)).to(score.dtype)


def dice(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    p, t = torch.sigmoid(logits) * mask, target.to(logits.dtype) * mask
    return 1 - 2 * (p * t).sum() / ((p**2).sum() + 1e-3 + (t**2).sum() + 1e-3)


def iou(logits: Tensor, target: Tensor, mask: Tensor) -> float:
    total = 0.0
    for cls in (True, False):
        p, t = (logits > 0) == cls, (target == 1) == cls
        total += int((p & t & (mask == 1)).sum()) / (int(((p | t) & (mask == 1)).sum()) + 1e-6)
    return total / 2


def embedding(
    features: Tensor, instances: Tensor, kernel: Tensor, mask: Tensor, background: Tensor | None = None
) -> Tensor:
    """Loss of one image: features (D, H, W); `background`: (D, K) embeddings of drawn pixels, for version 2."""
    means, aggregation, discrimination = [], [], []
    for i in range(1, int(instances.max()) + 1):
        core = (instances == i) & (kernel == 1) & (mask == 1)
        if not core.any():
            continue
        g = features[:, core].mean(1)
        own = features[:, (instances == i) & (mask == 1)]
        distance = (own - g[:, None]).norm(dim=0)
        aggregation.append(torch.log(1 + (distance - 0.5).clamp(min=0) ** 2).mean())
        means.append(g)
    if not means:
        return 0 * features.sum()
    if len(means) >= 2:
        for i, a in enumerate(means):
            for j, b in enumerate(means):
                if i != j:
                    discrimination.append(torch.log(1 + (3 - (a - b).norm()).clamp(min=0) ** 2))
            if background is not None and background.shape[1]:
                distance = (background - a[:, None]).norm(dim=0)
                discrimination.append(torch.log(1 + (3 - distance).clamp(min=0) ** 2).mean())
    loss = torch.stack(aggregation).mean()
    if discrimination:
        loss = loss + torch.stack(discrimination).mean()
    return loss + 0.001 * sum(torch.log(1 + g.norm()) for g in means) / (1 + len(means))


def pan_loss(logits: Tensor, text: Tensor, kernels: Tensor, mask: Tensor, instances: Tensor) -> Tensor:
    """Sum of the three weighted terms over logits (B, 2 + D, H, W) of the targets' size, averaged over the images."""
    total = 0.0
    for maps, t, k, m, labels in zip(logits, text, kernels[:, 0], mask, instances):
        total = total + dice(maps[0], t, ohem(maps[0].detach(), t, m))
        total = total + 0.5 * dice(maps[1], k, t * m) + 0.25 * embedding(maps[2:], labels, k, m)
    return total / len(logits)


def kernel_mask(student: np.ndarray, teacher: np.ndarray, kernel: np.ndarray) -> float:
    """Kernel-mask term of one image: maps (C, h, w), kernel (nh, nw) reduced to the middle 2x2 mean of nxn pixels."""
    c, h, w = student.shape
    n = kernel.shape[0] // h
    middle = n // 2 - 1
    total = 0.0
    for y in range(h):
        for x in range(w):
            top, left = n * y + middle, n * x + middle
            m = kernel[top : top + 2, left : left + 2].astype(np.float64).mean()
            s, t = student[:, y, x].astype(np.float64), teacher[:, y, x].astype(np.float64)
            s, t = s / max(np.linalg.norm(s), 1e-12), t / max(np.linalg.norm(t), 1e-12)
            total += ((t * m - s * m) ** 2).sum()
    return total / 2 / (c * h * w)


def channel_wise(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """Divergence over the pixels of each channel between two maps (C, h, w) of one image."""
    total = 0.0
    for s, t in zip(student.astype(np.float64), teacher.astype(np.float64)):
        p, q = (np.exp(maps / temperature) / np.exp(maps / temperature).sum() for maps in (t, s))
        for at in np.ndindex(p.shape):
            total += p[at] * math.log(p[at] / q[at])
    return temperature**2 * total / len(student)


def soft_cross_entropy(student: np.ndarray, teacher: np.ndarray) -> float:
    """Mean soft cross-entropy of logits of the same shape."""
    total = 0.0
    for s, t in zip(student.astype(np.float64).ravel(), teacher.astype(np.float64).ravel()):
        p, q = 1 / (1 + math.exp(-t)), 1 / (1 + math.exp(-s))
        total -= p * math.log(q) + (1 - p) * math.log(1 - q)
    return total / student.size


def soft_maps(logits: np.ndarray, target: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Cross-entropy and dice of a batch: logits and target (B, K, h, w), mask (B, h, w)."""
    cross, pixels, dices = 0.0, 0.0, []
    for image in range(len(logits)):
        for k in range(logits.shape[1]):
            both, squares = 0.0, 0.0
            for at in np.ndindex(mask.shape[1:]):
                m, t = float(mask[image][at]), float(target[image, k][at])
                p = 1 / (1 + math.exp(-float(logits[image, k][at])))
                cross -= m * (t * math.log(p) + (1 - t) * math.log(1 - p))
                pixels += m
                both += p * m * t * m
                squares += (p * m) ** 2 + (t * m) ** 2
            dices.append(1 - 2 * both / (squares + 2e-3))
    return cross / max(pixels, 1), sum(dices) / len(dices)


def area_mean(labels: np.ndarray, n: int = 4) -> np.ndarray:
    """(h, w): means of nxn pixels of (nh, nw)."""
    h, w = labels.shape[0] // n, labels.shape[1] // n
    return np.array([[labels[n * y : n * y + n, n * x : n * x + n].mean() for x in range(w)] for y in range(h)])


def region_cosines(
    student: np.ndarray, teacher: np.ndarray, kernels: np.ndarray, text: np.ndarray, shown: np.ndarray
) -> float:
    """Sum over kernels, rims and background of the mean cosine distance of maps (B, C, h, w); masks (B, nh, nw)."""
    sums, areas = np.zeros(3), np.zeros(3)
    n = text.shape[1] // student.shape[2]
    for image in range(len(student)):
        kernel, inside, judged = (area_mean(masks[image].astype(float), n) for masks in (kernels, text, shown))
        for y, x in np.ndindex(judged.shape):
            if judged[y, x] < 1:
                continue
            s, t = student[image, :, y, x].astype(np.float64), teacher[image, :, y, x].astype(np.float64)
            distance = 1 - (s @ t) / max(np.linalg.norm(s) * np.linalg.norm(t), 1e-8)
            shares = np.array([kernel[y, x], inside[y, x] - kernel[y, x], 1 - inside[y, x]])
            sums += shares * distance
            areas += shares
    return float((sums / np.maximum(areas, 1)).sum())


def instance_boxes(labels: np.ndarray) -> list[list[int]]:
    """Boxes x1, y1, x2, y2 of each label of one image, pixel by pixel."""
    boxes = {}
    for y, x in np.ndindex(labels.shape):
        if label := int(labels[y, x]):
            x1, y1, x2, y2 = boxes.get(label, (x, y, x + 1, y + 1))
            boxes[label] = [min(x1, x), min(y1, y), max(x2, x + 1), max(y2, y + 1)]
    return [boxes[label] for label in sorted(boxes)]
