"""Reference for a step of multi-neck distillation: every network run twice, masks and descriptors box by box.

It follows the published code, with the losses as MultiNeckDistiller defines them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from distillation.fgd_terms import FGDTerms
from distillation.multineck.learner import MultiNeckDistiller
from reference.roi_align import with_torchvisions_roi_align

STRIDES = (4, 8, 16, 32)


class OneByOne(nn.Module):
    """Copies of the networks and trained parts of a learner.

    Args:
        learner: source of the copied weights of the student and the context blocks.
        teachers: teachers given to the learner, weights loaded.
    """

    def __init__(self, learner: MultiNeckDistiller, teachers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.student = with_torchvisions_roi_align(learner.student)
        self.teachers = [with_torchvisions_roi_align(teacher).eval() for teacher in teachers]  # not trained
        self.branches, self.merged = copy.deepcopy(learner.branches), copy.deepcopy(learner.merged)
        self.merged_teacher = learner.merged_teacher
        self.centers = [getattr(learner, f"centers{index}") for index in range(len(teachers))]

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The losses of a batch, under the learner's names."""
        pyramid, branches = self.student.features(batch.images)
        losses = dict(self.student(batch.images, batch.sizes, batch.targets).losses)
        for index, (teacher, centers) in enumerate(zip(self.teachers, self.centers)):
            with torch.no_grad():
                taught = list(teacher.features(batch.images)[0].values())[: len(STRIDES)]
                found = teacher(batch.images, batch.sizes).detections
                values = [centre_values(taught, b, target, centers) for b, target in enumerate(batch.targets)]
            learners = [(f"branch{index + 1}", self.branches[index], branches[index])]
            if index == self.merged_teacher:
                learners.append(("merged", self.merged, pyramid.values()))
            for place, own, maps in learners:
                for terms, learnt, level, stride in zip(own.levels, maps, taught, STRIDES):
                    masks = level_masks(level.shape, stride, batch.targets, values, found)
                    if place == "merged":
                        del masks["object"]
                    with torch.autocast(level.device.type, enabled=False):
                        pair = learnt.float(), level.float()
                        if own.standardise:
                            pair = map(standardised, pair)
                        for name, value in fgd_losses(terms, *pair, masks).items():
                            losses[f"{place}_{name}"] = losses.get(f"{place}_{name}", 0) + value
        return losses


def standardised(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W), channel by channel with a mean of 0 and a deviation of 1 over the batch."""
    channels = [(own - own.mean()) / (own.std(correction=0) + 1e-6) for own in maps.unbind(1)]
    return torch.stack(channels, 1)


def centre_values(levels: Sequence[Tensor], image: int, target: Mapping[str, Tensor], centers: Tensor) -> list[float]:
    """Weight of each box of an image by its distance from the centre of its class, at least 1."""
    values = []
    for box, label in zip(target["boxes"], target["labels"]):
        found = descriptor([level[image : image + 1].float() for level in levels], box)
        nearest = min((found - own).square().mean() for own in centers[label])
        values.append(min(max(1.0, 1 / nearest.item()), 1e4) if nearest > 0 else 1e4)
    return values


def descriptor(levels: Sequence[Tensor], box: Tensor, top: int = 20) -> Tensor:
    """(49,) of one box in maps (1, C, H, W)."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    number = min(max(math.floor(4 + math.log2(side / 224 + 1e-9) + 1e-6), 2), 5) - 2
    pooled = roi_align(levels[number], [box[None]], 7, 1 / STRIDES[number], sampling_ratio=2)[0].flatten(1)  # (C, 49)
    strongest = pooled.mean(1).argsort(descending=True)[:top]
    return F.normalize(pooled[strongest].mean(0), dim=0)


def cells(box: Tensor, stride: int) -> tuple[int, int, int, int]:
    """First and last column, first and last row of a box; the last ones exclusive, as slice bounds."""
    x1, y1, x2, y2 = box.tolist()
    return (
        math.floor(x1 / stride), math.ceil(x2 / stride) + 1, math.floor(y1 / stride), math.ceil(y2 / stride) + 1
    )  # fmt: skip


def inside(mask: Tensor, box: Tensor, stride: int) -> Tensor:
    """The part of a mask (H, W) that a box covers."""
    left, right, top, bottom = (max(edge, 0) for edge in cells(box, stride))
    return mask[top:bottom, left:right]


def level_masks(
    shape: torch.Size,
    stride: int,
    targets: Sequence[Mapping[str, Tensor]],
    values: Sequence[Sequence[float]],
    found: Sequence[Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """The masks (B, H, W) of a level of shape (B, C, H, W)."""
    images, _, height, width = shape
    foreground, background = torch.zeros(images, height, width), torch.ones(images, height, width)
    centred, stacked = torch.ones(images, height, width), torch.full((images, height, width), 4.0)
    for b, target in enumerate(targets):
        for box, value in zip(target["boxes"], values[b]):
            left, right, top, bottom = cells(box, stride)
            part = inside(foreground[b], box, stride)
            part[:] = part.clamp(min=1 / ((right - left) * (bottom - top)))
            inside(background[b], box, stride)[:] = 0
            part = inside(centred[b], box, stride)
            part[:] = part.clamp(min=value)
        if background[b].sum() > 0:
            background[b] /= background[b].sum()
        for box, score in zip(found[b]["boxes"], found[b]["scores"]):
            if score > 0.2:
                inside(stacked[b], box, stride)[:] += 2 * score
    objects = centred * stacked
    for mask in objects:
        mask /= mask.mean()
    return {"foreground": foreground, "background": background, "object": objects}


def fgd_losses(terms: FGDTerms, student: Tensor, teacher: Tensor, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weighted terms of a level, mask by mask, as the paper writes them."""
    pixels, channels = attentions(teacher, terms.temperature)
    own_pixels, own_channels = attentions(student, terms.temperature)
    sums = {}
    for name, mask in masks.items():
        root = pixels.sqrt()[:, None] * channels.sqrt()[..., None, None] * mask.sqrt()[:, None]
        sums[name] = (root * teacher - root * student).square().sum()
    sums["attention"] = (own_channels - channels).abs().sum() + (own_pixels - pixels).abs().sum()
    modulated = teacher + terms.teacher_context(teacher), student + terms.student_context(student)
    sums["relation"] = (modulated[0] - modulated[1]).square().sum()
    return {name: terms.weights[name] * value / len(student) for name, value in sums.items()}


def attentions(features: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Attention of pixels (B, H, W) and of channels (B, C)."""
    images, channels, height, width = features.shape
    pixels = (features.abs().mean(dim=1).view(images, -1) / temperature).softmax(dim=1)
    strong = (features.abs().mean(dim=(2, 3)) / temperature).softmax(dim=1)
    return height * width * pixels.view(images, height, width), channels * strong
