"""Literal, slow versions of the losses in float64 NumPy, written from their definitions, one image at a time."""

from __future__ import annotations

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def ohem(score: np.ndarray, text: np.ndarray, mask: np.ndarray) -> np.ndarray:
    positives = sum(1 for t, m in zip(text.flat, mask.flat) if t == 1 and m == 1)
    negative_scores = sorted((s for s, t in zip(score.flat, text.flat) if t == 0), reverse=True)
    number = min(3 * positives, len(negative_scores))
    if positives == 0 or number == 0:
        return mask.astype(np.float64)
    threshold = negative_scores[number - 1]
    out = np.zeros(score.shape)
    for at in np.ndindex(score.shape):
        out[at] = (text[at] == 1 or score[at] >= threshold) and mask[at] == 1
    return out


def dice(logits: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    p, t = sigmoid(logits) * mask, target.astype(np.float64) * mask
    return 1 - 2 * (p * t).sum() / ((p**2).sum() + 1e-3 + (t**2).sum() + 1e-3)


def iou(logits: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    total = 0.0
    for cls in (True, False):
        p, t = (logits > 0) == cls, (target == 1) == cls
        total += (p & t & (mask == 1)).sum() / (((p | t) & (mask == 1)).sum() + 1e-6)
    return total / 2


def embedding(
    features: np.ndarray,
    instances: np.ndarray,
    kernel: np.ndarray,
    mask: np.ndarray,
    background: np.ndarray | None = None,
) -> float:
    """`background`: (D, K) embeddings of the background pixels drawn, for version 2."""
    features = features.astype(np.float64)
    means, aggregation = [], []
    for i in range(1, int(instances.max()) + 1):
        core = (instances == i) & (kernel == 1) & (mask == 1)
        if not core.any():
            continue
        g = features[:, core].mean(1)
        own = features[:, (instances == i) & (mask == 1)]
        distances = [np.linalg.norm(own[:, k] - g) for k in range(own.shape[1])]
        aggregation.append(np.mean([np.log(1 + max(d - 0.5, 0) ** 2) for d in distances]))
        means.append(g)
    if not means:
        return 0.0
    discrimination = []
    if len(means) >= 2:
        for i, a in enumerate(means):
            for j, b in enumerate(means):
                if i != j:
                    discrimination.append(np.log(1 + max(3 - np.linalg.norm(a - b), 0) ** 2))
        if background is not None and background.shape[1]:
            for g in means:
                d = np.linalg.norm(background.astype(np.float64) - g[:, None], axis=0)
                discrimination.append(np.mean(np.log(1 + np.maximum(3 - d, 0) ** 2)))
    norms = [0.0, *(np.linalg.norm(g) for g in means)]
    regularisation = 0.001 * np.mean([np.log(1 + n) for n in norms])
    return float(np.mean(aggregation) + (np.mean(discrimination) if discrimination else 0) + regularisation)


def kernel_mask(student: np.ndarray, teacher: np.ndarray, kernel: np.ndarray) -> float:
    """One image: maps (C, h, w), kernel (4h, 4w). Its bilinear quarter is the mean of the middle 2x2 of 4x4 pixels."""
    c, h, w = student.shape
    total = 0.0
    for y in range(h):
        for x in range(w):
            m = kernel[4 * y + 1 : 4 * y + 3, 4 * x + 1 : 4 * x + 3].astype(np.float64).mean()
            s, t = student[:, y, x].astype(np.float64), teacher[:, y, x].astype(np.float64)
            s, t = s / max(np.linalg.norm(s), 1e-12), t / max(np.linalg.norm(t), 1e-12)
            total += ((t * m - s * m) ** 2).sum()
    return total / 2 / (c * h * w)
