"""KKD: kernel-mask knowledge distillation (KKDnet, Complex & Intelligent Systems 2024, section 3.4)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distillation.base import LEARNERS
from distillation.text import TextDistiller, check_same_shape
from errors import InputError
from models import TextOutput, stream
from models.text.soft_maps import judged, reduced


def kernel_mask_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Half the mean squared difference of channel-normalised maps inside a mask, per image.

    Args:
        student, teacher: (B, C, h, w).
        mask: (B, h, w), weights in 0 to 1; it multiplies both maps, so its square weighs the difference.

    Returns:
        (B,) losses: sum of (T - S)^2 over channels and pixels, / (2 C h w).
    """
    batch, channels, h, w = student.shape
    # Outside the mask both maps are zero. On a GPU, selecting pixels would stall the stream, so all of them are used.
    pixels = slice(None) if stream.stalls(mask) else mask.flatten().nonzero()[:, 0]
    s, t = (F.normalize(maps.permute(0, 2, 3, 1).reshape(-1, channels)[pixels].float()) for maps in (student, teacher))
    per_pixel = (t - s).square().sum(1) * mask.flatten()[pixels] ** 2  # (P,)
    image = torch.arange(batch, device=mask.device).repeat_interleave(h * w)[pixels]
    return per_pixel.new_zeros(batch).index_add(0, image, per_pixel) / (2 * channels * h * w)


def mask_mean_loss(student: Tensor, teacher: Tensor, masks: Tensor) -> Tensor:
    """Mean cosine distance of two maps over the pixels of each mask.

    Args:
        student, teacher: (B, C, h, w).
        masks: (B, M, h, w), weights in 0 to 1.

    Returns:
        (M,) means over the pixels of the whole batch of 1 - cosine similarity, 0 to 2; 0 for a mask without pixels.
    """
    distance = 1 - F.cosine_similarity(student.float(), teacher.float(), dim=1)  # (B, h, w)
    return (distance[:, None] * masks).sum((0, 2, 3)) / masks.sum((0, 2, 3)).clamp(min=1)


@LEARNERS.register_module()
class KernelMaskDistiller(TextDistiller):
    """A student learns its teachers' text features and output maps inside the ground-truth kernels.

    Published with one teacher. With several, each has its own two terms, `kkd_feature_1`, `kkd_response_1` and so on;
    together they pull towards the weighted mean of the teachers' normalised maps.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        weight: weight of the distillation term; None for the published 1.0, or 0.5 if there is no embedding loss.
        feature_weight: weight of the feature terms (the text feature before the head).
        response_weight: weight of the response terms (the output maps).
        divisor: divides the sum of both terms. The published 6 is the length of a feature list of which two are used.
        batch_reduction: 'sum' over the images of a batch (published: the term grows with the batch size) or 'mean'.
        mask: pixels that are compared: 'kernel' (published), 'text' (ignored text, too) or 'none' (every pixel); or
            'regions', see below.

    With `mask='regions'` a term is the mean cosine distance over kernels, plus that over the rest of the text, plus
    that over the background, ignored text being part of none; `divisor` and `batch_reduction` have no effect. The
    published term divides the distance by the number of channels and by the area of the whole map, which leaves its
    gradient too small to teach (docs/results.md).

    Raises:
        InputError: a wrong number of teacher weights, an unknown reduction or mask, or maps of different channels.
    """

    def __init__(
        self,
        *core: Any,
        weight: float | None = None,
        feature_weight: float = 1.0,
        response_weight: float = 1.0,
        divisor: float = 6.0,
        batch_reduction: str = "sum",
        mask: str = "kernel",
        **more: Any,
    ) -> None:
        super().__init__(*core, **more)
        if feature_weight:
            self.match_features()
        for key, value, known in (
            ("batch_reduction", batch_reduction, ("sum", "mean")),
            ("mask", mask, ("kernel", "text", "none", "regions")),
        ):
            if value not in known:
                raise InputError(f"distiller.{key}='{value}': expected one of {', '.join(known)}")
        if weight is None:
            weight = 1.0 if getattr(self.loss, "embedding_weight", 0) else 0.5
        self.scale = weight if mask == "regions" else weight / divisor
        self.weights = {"kkd_feature": feature_weight, "kkd_response": response_weight}
        self.batch_reduction = batch_reduction
        self.mask = mask

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        pairs = {"kkd_feature": (learnt.fused, taught.fused), "kkd_response": (learnt.logits, taught.logits)}
        terms = {}
        for name, (student, teacher) in pairs.items():
            if not self.weights[name]:
                continue
            check_same_shape(name, student, teacher, number)
            size = student.shape[-2:]
            if self.mask == "regions":
                total = mask_mean_loss(student, teacher, self._regions(batch, size)).sum()
            else:
                per_image = kernel_mask_loss(student, teacher, self._mask(batch, size))
                total = per_image.sum() if self.batch_reduction == "sum" else per_image.mean()
            terms[name] = self.scale * self.weights[name] * total
        return terms

    def _regions(self, batch: Any, size: tuple[int, int]) -> Tensor:
        """(B, 3, h, w): shares of each pixel of kernel, text around it, and background; 0 where text is ignored."""
        labels = torch.stack([batch.kernels[:, 0], batch.text, torch.ones_like(batch.text)], dim=1)
        kernel, text, whole = (reduced(labels, size) * judged(batch.training_mask, size)[:, None]).unbind(1)
        return torch.stack([kernel, text - kernel, whole - text], dim=1)

    def _mask(self, batch: Any, size: tuple[int, int]) -> Tensor:
        """(B, h, w), 0 to 1."""
        whole = {"kernel": batch.kernels[:, 0], "text": batch.text, "none": torch.ones_like(batch.text)}[self.mask]
        return F.interpolate(whole[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
