"""CWD: channel-wise knowledge distillation for dense prediction (Shu et al., ICCV 2021)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillation.base import LEARNERS
from distillation.text import TextDistiller, check_same_shape
from models import TextOutput


def channel_wise_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """KL divergence between the teacher's and the student's distribution over the pixels of each channel (equation 4).

    Args:
        student, teacher: (B, C, h, w).
        temperature: softmax temperature, over the h w pixels of a channel.

    Returns:
        Scalar: temperature^2 KL(teacher || student), averaged over channels and images.
    """
    log_s, log_t = ((maps.flatten(2).float() / temperature).log_softmax(2) for maps in (student, teacher))
    return temperature**2 * F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(2).mean()


@LEARNERS.register_module()
class ChannelWiseDistiller(TextDistiller):
    """A student learns where each channel of its teachers' maps is strong.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        feature_weight: weight of the term of the text feature before the head; the paper has 50 for feature maps.
        response_weight: weight of the term of the output maps; the paper has 3 for them, and uses one of both terms.
        temperature: softmax temperature of both terms.
    """

    needs_labels: ClassVar[bool] = False

    def __init__(
        self,
        *core: Any,
        feature_weight: float = 50.0,
        response_weight: float = 0.0,
        temperature: float = 4.0,
        **more: Any,
    ) -> None:
        super().__init__(*core, **more)
        if feature_weight:
            self.match_features()
        self.weights = {"cwd_feature": feature_weight, "cwd_response": response_weight}
        self.temperature = temperature

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        pairs = {"cwd_feature": (learnt.fused, taught.fused), "cwd_response": (learnt.logits, taught.logits)}
        terms = {}
        for name, (student, teacher) in pairs.items():
            if self.weights[name]:
                check_same_shape(name, student, teacher, number)
                terms[name] = self.weights[name] * channel_wise_loss(student, teacher, self.temperature)
        return terms
