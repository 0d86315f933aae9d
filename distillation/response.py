"""Response distillation: soft targets (Hinton et al., 2015) for maps of independent binary decisions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillation.base import LEARNERS
from distillation.text import TextDistiller, check_same_shape
from models import TextOutput


@LEARNERS.register_module()
class ResponseDistiller(TextDistiller):
    """A student learns its teachers' text and kernel probabilities at every pixel, by binary cross-entropy.

    The original compares softmax over classes, which does not apply to maps of one logit. Embeddings are not
    probabilities and are left out.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        weight: weight of the cross-entropy, which is averaged over images, maps and pixels.
    """

    needs_labels: ClassVar[bool] = False

    def __init__(self, *core: Any, weight: float = 1.0, **more: Any) -> None:
        super().__init__(*core, **more)
        self.weight = weight

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        check_same_shape("response_bce", learnt.logits, taught.logits, number)
        maps = sum(name != "embedding" for name in self.student.head.maps)  # they come first
        probability = taught.logits[:, :maps].float().sigmoid()
        loss = F.binary_cross_entropy_with_logits(learnt.logits[:, :maps].float(), probability)
        return {"response_bce": self.weight * loss}
