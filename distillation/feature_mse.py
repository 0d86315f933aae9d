"""Plain feature distillation: the mean squared difference of hints (FitNets, Romero et al., ICLR 2015)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillation.base import LEARNERS
from distillation.text import TextDistiller, check_same_shape
from models import TextOutput


@LEARNERS.register_module()
class FeatureMSEDistiller(TextDistiller):
    """A student learns its teachers' text feature at every pixel, neither normalised nor masked.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        weight: weight of the squared difference, which is averaged over images, channels and pixels.
    """

    needs_labels: ClassVar[bool] = False

    def __init__(self, *core: Any, weight: float = 1.0, **more: Any) -> None:
        super().__init__(*core, **more)
        self.match_features()
        self.weight = weight

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        check_same_shape("feature_mse", learnt.fused, taught.fused, number)
        return {"feature_mse": self.weight * F.mse_loss(learnt.fused.float(), taught.fused.float())}
