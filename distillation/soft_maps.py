"""Soft maps: a student learns its teachers' probabilities at every pixel (Hinton et al., 2015, for binary maps)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from distillation.base import LEARNERS
from distillation.kernel_mask import mask_mean_loss
from distillation.text import TextDistiller, check_same_shape
from models import TextOutput
from models.layers import upsample_to
from models.text.soft_maps import judged, reduced, soft_map_loss


class SoftMapTerms:
    """The difference of a student's text and kernel probabilities from those of a teacher.

    Args:
        maps: number of the maps that are compared; embeddings are no probabilities, and come after them.
        bce_weight, dice_weight: weights of binary cross-entropy and soft dice.
        temperature: divides the logits of both; the terms are multiplied by its square.
    """

    def __init__(self, maps: int, bce_weight: float, dice_weight: float, temperature: float) -> None:
        self.maps = maps
        self.weights = {"soft_bce": bce_weight, "soft_dice": dice_weight}
        self.temperature = temperature

    def __call__(self, learnt: Tensor, taught: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Weighted scalars by name.

        Args:
            learnt, taught: (B, K, h, w), logits; no gradient goes to the second.
            mask: (B, h, w), 1 at pixels that are compared.
        """
        logits, target = (maps[:, : self.maps].float() / self.temperature for maps in (learnt, taught.detach()))
        terms = dict(zip(self.weights, soft_map_loss(logits, target.sigmoid(), mask)))
        return {name: self.temperature**2 * weight * terms[name] for name, weight in self.weights.items() if weight}


@LEARNERS.register_module()
class SoftMapDistiller(TextDistiller):
    """A student learns its teachers' text and kernel probabilities at every pixel that is not ignored.

    A teacher whose maps are coarser or finer, for its head has another `upscale`, teaches with logits that are resized
    bilinearly.

    With `feature_weight` it learns their text features, too: the mean cosine distance over the kernels, plus that over
    the rest of the text, plus that over the background, as KernelMaskDistiller with `mask='regions'` has it, but with
    the teacher's probabilities of kernel and text as shares of a pixel in place of labels.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        bce_weight, dice_weight, temperature: see SoftMapTerms.
        feature_weight: weight of the distance of the features; 0 for none.
    """

    needs_labels: ClassVar[bool] = False

    def __init__(
        self,
        *core: Any,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        temperature: float = 1.0,
        feature_weight: float = 0.0,
        **more: Any,
    ) -> None:
        super().__init__(*core, **more)
        if feature_weight:
            self.match_features()
        self.feature_weight = feature_weight
        maps = sum(name != "embedding" for name in self.student.head.maps)
        self.difference = SoftMapTerms(maps, bce_weight, dice_weight, temperature)

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        target = upsample_to(taught.logits, learnt.logits)
        check_same_shape("soft_maps", learnt.logits, target, number)
        terms = self.difference(learnt.logits, target, judged(batch.training_mask, learnt.logits.shape[-2:]))
        if self.feature_weight:
            check_same_shape("soft_feature", learnt.fused, taught.fused, number)
            distances = mask_mean_loss(learnt.fused, taught.fused, self._regions(taught, batch.training_mask))
            terms["soft_feature"] = self.feature_weight * distances.sum()
        return terms

    def _regions(self, taught: TextOutput, training_mask: Tensor) -> Tensor:
        """(B, 3, h, w), as the text feature: how sure the teacher is of kernel, of text around it and of background."""
        size = taught.fused.shape[-2:]
        text, kernel = reduced(taught.logits[:, :2].sigmoid(), size).unbind(1)
        kernel = torch.minimum(kernel, text)
        return torch.stack([kernel, text - kernel, 1 - text], dim=1) * judged(training_mask, size)[:, None]
