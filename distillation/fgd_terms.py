"""The loss terms of FGD: focal and global knowledge distillation for detectors (Yang et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from distillation.masks import background_mask, foreground_mask
from errors import InputError
from models.objects.fpn import STRIDES

LEVEL_STRIDES = STRIDES[:4]  # P2 to P5 are distilled

Masks = Mapping[str, Tensor]

NORMALISATIONS = ("none", "standard")


def attentions(features: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Spatial and channel attention of a map (B, C, H, W), both with a mean of 1.

    Returns:
        H·W·softmax over pixels of mean_c|F| / T, (B, H, W), and C·softmax over channels of mean_hw|F| / T, (B, C).
    """
    strength = features.abs()
    pixels, channels = strength.mean(1), strength.mean((2, 3))
    spatial = pixels[0].numel() * (pixels.flatten(1) / temperature).softmax(1).view_as(pixels)
    return spatial, channels.shape[1] * (channels / temperature).softmax(1)


def standardised(features: Tensor) -> Tensor:
    """Maps (B, C, H, W) whose channels have a mean of 0 and a variance of 1 over all pixels of the batch.

    With several processes the batch is the share of each. Terms of such maps do not depend on the scale of the
    networks, and compare patterns (PKD, Cao et al., NeurIPS 2022, section 3.3).
    """
    deviation, mean = torch.std_mean(features, (0, 2, 3), correction=0, keepdim=True)
    return (features - mean) / (deviation + 1e-6)


class GlobalContext(nn.Module):
    """Global context of GcNet (Cao et al., 2019): a transform of attention-pooled pixels, to be added to every pixel.

    Its output is zero at initialisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 1),
            nn.LayerNorm([channels // 2, 1, 1]),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 1),
        )
        nn.init.kaiming_normal_(self.attention.weight)
        nn.init.zeros_(self.attention.bias)
        nn.init.zeros_(self.transform[-1].weight)
        nn.init.zeros_(self.transform[-1].bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        weights = self.attention(features).flatten(2).softmax(2)  # (B, 1, HW)
        context = features.flatten(2) @ weights.transpose(1, 2)  # (B, C, 1)
        return self.transform(context[..., None])


class FGDTerms(nn.Module):
    """The terms of one pyramid level.

    Args:
        channels: number of channels of the maps.
        temperature: softmax temperature of both attentions.
        alpha, beta: weights of the foreground and of the background term.
        gamma: weight of the attention term.
        lambda_: weight of the relation term.
        object_weight: weight of the object term, which multi-neck distillation adds.
    """

    def __init__(
        self,
        channels: int,
        temperature: float = 0.5,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        gamma: float = 5e-4,
        lambda_: float = 5e-6,
        object_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.weights = dict(foreground=alpha, background=beta, object=object_weight, attention=gamma, relation=lambda_)
        self.student_context = GlobalContext(channels)
        self.teacher_context = GlobalContext(channels)

    def forward(self, student: Tensor, teacher: Tensor, masks: Masks) -> dict[str, Tensor]:
        """Weighted losses, each divided by the number of images.

        Args:
            student, teacher: (B, C, H, W).
            masks: `foreground`, `background` and, if wanted, `object`, each (B, H, W). Each makes a term
                Σ (√(A_s·A_c·M)·(T − S))², with the attentions A of the teacher.

        Returns:
            A scalar for every mask, `attention` and `relation`.
        """
        pixels, channels = attentions(teacher, self.temperature)
        student_pixels, student_channels = attentions(student, self.temperature)
        difference = student - teacher
        # The root and the square cancel out, and the channels are summed once for all masks.
        error = pixels * torch.einsum("bc,bchw->bhw", channels, difference.square())
        sums = {name: (error * mask).sum() for name, mask in masks.items()}
        sums["attention"] = (student_channels - channels).abs().sum() + (student_pixels - pixels).abs().sum()
        added = self.student_context(student) - self.teacher_context(teacher)
        sums["relation"] = (difference + added).square().sum()
        return {name: self.weights[name] / len(student) * value for name, value in sums.items()}


class PyramidTerms(nn.Module):
    """The sums of the FGD terms over P2 to P5, in float32 at any precision of the networks.

    Args:
        channels, options: arguments of FGDTerms.
        normalisation: 'none', or 'standard' to compare standardised maps; see `standardised`.

    Raises:
        InputError: an unknown normalisation.
    """

    def __init__(self, channels: int, normalisation: str = "none", **options: float) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise InputError(f"distiller.normalisation={normalisation!r}: give one of {', '.join(NORMALISATIONS)}")
        self.channels = channels
        self.standardise = normalisation == "standard"
        self.levels = nn.ModuleList(FGDTerms(channels, **options) for _ in LEVEL_STRIDES)

    def forward(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], masks: Sequence[Masks]
    ) -> dict[str, Tensor]:
        """Losses by name, from the maps and the masks of each level.

        Raises:
            InputError: maps whose shape differs, or of other than the expected channels.
        """
        check_same_pyramid(student, teacher, self.channels)
        with torch.autocast(student[0].device.type, enabled=False):
            levels = [
                terms(self.prepared(learnt), self.prepared(taught), weights)
                for terms, learnt, taught, weights in zip(self.levels, student, teacher, masks)
            ]
        return {name: torch.stack([level[name] for level in levels]).sum() for name in levels[0]}

    def prepared(self, features: Tensor) -> Tensor:
        """What is compared of a map, in float32."""
        return standardised(features.float()) if self.standardise else features.float()


def pyramid_of(detector: nn.Module, images: Tensor) -> list[Tensor]:
    """P2 to P5 of the pyramid that the detector's RPN and heads use."""
    return list(detector.features(images)[0].values())[: len(LEVEL_STRIDES)]


def check_same_pyramid(student: Sequence[Tensor], teacher: Sequence[Tensor], channels: int | None = None) -> None:
    """InputError unless the levels, from P2 on, have the same shapes and as many channels."""
    for number, (learnt, taught) in enumerate(zip(student, teacher), 2):
        if learnt.shape != taught.shape or channels not in (None, learnt.shape[1]):
            expected = "" if channels is None else f", distiller.channels={channels}"
            raise InputError(
                f"distiller: P{number} of the student is {tuple(learnt.shape[1:])}, of the teacher "
                f"{tuple(taught.shape[1:])}{expected}; all must have the same"
            )


def box_masks(boxes: Sequence[Tensor], levels: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """`foreground` and `background` masks of each level, from the ground-truth boxes (B times (n, 4)) of a batch."""
    masks = [foreground_mask(boxes, level.shape[-2:], stride) for level, stride in zip(levels, LEVEL_STRIDES)]
    return [{"foreground": mask, "background": background_mask(mask)} for mask in masks]
