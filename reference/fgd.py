"""Literal, slow versions of the detection distillation terms in float64 NumPy, one image and one cell at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from distillation.fgd_terms import FGDTerms

Box = tuple[float, float, float, float]


def covers(box: Box, stride: int, y: int, x: int) -> bool:
    x1, y1, x2, y2 = (float(v) for v in box)
    rows = range(int(np.floor(y1 / stride)), int(np.ceil(y2 / stride)) + 1)
    columns = range(int(np.floor(x1 / stride)), int(np.ceil(x2 / stride)) + 1)
    return y in rows and x in columns


def cells(box: Box, stride: int) -> int:
    x1, y1, x2, y2 = (float(v) for v in box)
    rows = int(np.ceil(y2 / stride)) - int(np.floor(y1 / stride)) + 1
    return rows * (int(np.ceil(x2 / stride)) - int(np.floor(x1 / stride)) + 1)


def foreground(boxes: list[Box], size: tuple[int, int], stride: int) -> np.ndarray:
    out = np.zeros(size)
    for y, x in np.ndindex(size):
        for box in boxes:
            if covers(box, stride, y, x):
                out[y, x] = max(out[y, x], 1 / cells(box, stride))
    return out


def background(boxes: list[Box], size: tuple[int, int], stride: int) -> np.ndarray:
    outside = [at for at in np.ndindex(size) if not any(covers(box, stride, *at) for box in boxes)]
    out = np.zeros(size)
    for at in outside:
        out[at] = 1 / len(outside)
    return out


def centre(boxes: list[Box], values: list[float], size: tuple[int, int], stride: int) -> np.ndarray:
    out = np.ones(size)
    for y, x in np.ndindex(size):
        for box, value in zip(boxes, values):
            if covers(box, stride, y, x):
                out[y, x] = max(out[y, x], value)
    return out


def proposals(boxes: list[Box], scores: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """Proposal mask (H, W) of a level; `scores` are float32, so that one of 0.2 is not above 0.2."""
    out = np.full(size, 4.0)
    for y, x in np.ndindex(size):
        for box, score in zip(boxes, scores):
            if score > np.float32(0.2) and covers(box, stride, y, x):
                out[y, x] += 2 * float(score)
    return out


def spatial_attention(features: np.ndarray, temperature: float) -> np.ndarray:
    """Spatial attention (H, W) of a map (C, H, W)."""
    c, h, w = features.shape
    powers = {at: np.exp(sum(abs(features[k][at]) for k in range(c)) / c / temperature) for at in np.ndindex(h, w)}
    total = sum(powers.values())
    return np.array([[h * w * powers[y, x] / total for x in range(w)] for y in range(h)])


def channel_attention(features: np.ndarray, temperature: float) -> np.ndarray:
    """Channel attention (C,) of a map (C, H, W)."""
    c, h, w = features.shape
    powers = [np.exp(sum(abs(v) for v in features[k].flat) / (h * w) / temperature) for k in range(c)]
    return np.array([c * power / sum(powers) for power in powers])


def masked_error(student: np.ndarray, teacher: np.ndarray, mask: np.ndarray, temperature: float) -> float:
    """Foreground, background and object term of one image, without weight."""
    a_s, a_c = spatial_attention(teacher, temperature), channel_attention(teacher, temperature)
    total = 0.0
    for k, y, x in np.ndindex(student.shape):
        root = np.sqrt(a_s[y, x] * a_c[k] * mask[y, x])
        total += (root * (teacher[k, y, x] - student[k, y, x])) ** 2
    return total


def attention(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    pairs = ((f(student, temperature), f(teacher, temperature)) for f in (channel_attention, spatial_attention))
    return sum(abs(s - t).sum() for s, t in pairs)


def context(features: np.ndarray, w: Mapping[str, np.ndarray]) -> np.ndarray:
    """F + transform(context) of one image (C, H, W); `w` is the state dict of the block."""
    c, height, width = features.shape
    pixels = features.reshape(c, -1)
    logits = [w["attention.weight"].reshape(c) @ pixels[:, p] + w["attention.bias"][0] for p in range(height * width)]
    shares = np.exp(logits) / np.exp(logits).sum()
    pooled = sum(shares[p] * pixels[:, p] for p in range(height * width))
    hidden = w["transform.0.weight"][:, :, 0, 0] @ pooled + w["transform.0.bias"]
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    hidden = np.maximum(hidden * w["transform.1.weight"].ravel() + w["transform.1.bias"].ravel(), 0)
    added = w["transform.3.weight"][:, :, 0, 0] @ hidden + w["transform.3.bias"]
    return features + added[:, None, None]


def relation(student: np.ndarray, teacher: np.ndarray, w: Mapping[str, np.ndarray]) -> float:
    """Relation term of one image, maps (C, H, W); `w` is the state dict of FGDTerms."""
    own, other = (
        {key.removeprefix(prefix): value for key, value in w.items() if key.startswith(prefix)}
        for prefix in ("student_context.", "teacher_context.")
    )
    return ((context(student, own) - context(teacher, other)) ** 2).sum()


def fgd(
    student: np.ndarray, teacher: np.ndarray, masks: Mapping[str, np.ndarray], temperature: float, w: Mapping
) -> dict[str, float]:
    """Terms of a batch of one level without their weights: maps (B, C, H, W), masks (B, H, W)."""
    images = range(len(student))
    terms = {
        name: sum(masked_error(student[b], teacher[b], mask[b], temperature) for b in images)
        for name, mask in masks.items()
    }
    terms["attention"] = sum(attention(student[b], teacher[b], temperature) for b in images)
    terms["relation"] = sum(relation(student[b], teacher[b], w) for b in images)
    return {name: value / len(student) for name, value in terms.items()}


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """Bilinear sample of a plane: the border's value less than a pixel outside it, 0 farther out."""
    h, w = plane.shape
    if y < -1 or y > h or x < -1 or x > w:
        return 0.0
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
    fy, fx = y - y0, x - x0
    top = (1 - fx) * plane[y0, x0] + fx * plane[y0, x1]
    return (1 - fy) * top + fy * ((1 - fx) * plane[y1, x0] + fx * plane[y1, x1])


def roi_align(features: np.ndarray, box: Box, stride: int) -> np.ndarray:
    """(C, H, W) -> (C, 7, 7), with 2x2 samples per bin, no half-pixel shift."""
    x1, y1, x2, y2 = (float(v) / stride for v in box)
    bin_w, bin_h = max(x2 - x1, 1.0) / 7, max(y2 - y1, 1.0) / 7
    out = np.zeros((len(features), 7, 7))
    for c, i, j in np.ndindex(out.shape):
        samples = [
            bilinear(features[c], y1 + (i + dy) * bin_h, x1 + (j + dx) * bin_w)
            for dy in (0.25, 0.75)
            for dx in (0.25, 0.75)
        ]
        out[c, i, j] = np.mean(samples)
    return out


def descriptor(pyramid: list[np.ndarray], box: Box, top: int = 20) -> np.ndarray:
    """Descriptor (49,) of a box of one image, whose P2..P5 are (C, H, W)."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    level = int(np.clip(np.floor(4 + np.log2(np.sqrt(area) / 224 + 1e-6)), 2, 5))
    pooled = roi_align(pyramid[level - 2], box, 2**level)
    order = sorted(range(len(pooled)), key=lambda k: -pooled[k].mean())[:top]
    mean = sum(pooled[k] for k in order).ravel() / len(order)
    norm = np.sqrt((mean**2).sum())
    return mean / norm if norm > 0 else mean


def centre_value(found: np.ndarray, centres: np.ndarray) -> float:
    """max(1, 1 / MSE to the nearest of the centres (k, 49))."""
    if len(centres) == 0:
        return 1.0
    return max(1.0, 1 / min(np.mean((found - own) ** 2) for own in centres))


def object_mask(centre_mask: np.ndarray, proposal_mask: np.ndarray) -> np.ndarray:
    mask = centre_mask * proposal_mask
    return mask / mask.mean()


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def level_terms(
    terms: FGDTerms, student: Tensor, teacher: Tensor, boxes: list[Tensor], stride: int
) -> dict[str, float]:
    """Foreground, background, attention and relation of one level, without weights."""
    size = student.shape[-2:]
    masks = {f.__name__: np.stack([f(b.tolist(), size, stride) for b in boxes]) for f in (foreground, background)}
    arrays = (maps.detach().double().numpy() for maps in (student, teacher))
    return fgd(*arrays, masks, terms.temperature, numbers(terms))
