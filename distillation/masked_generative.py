"""MGD: masked generative distillation (Yang et al., ECCV 2022)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distillation.base import LEARNERS
from distillation.text import TextDistiller, check_same_shape
from models import TextOutput
from models.layers import require_range


@LEARNERS.register_module()
class MaskedGenerativeDistiller(TextDistiller):
    """From its text feature with pixels left out, the student has to generate the whole feature of its teachers.

    The two convolutions that generate it (section 3.2) learn with the student and are no part of its checkpoint.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller.
        weight: weight of the squared difference, summed over channels and pixels, averaged over images; 2e-5 is that of
            the paper for semantic segmentation.
        masked: share of the pixels that are left out, drawn anew in every step; 0.75 is the paper's for segmentation.
    """

    needs_labels: ClassVar[bool] = False

    def __init__(self, *core: Any, weight: float = 2e-5, masked: float = 0.75, **more: Any) -> None:
        super().__init__(*core, **more)
        self.match_features()
        self.generate = nn.ModuleList(_generator(sum(teacher.neck.channels)) for teacher in self.teachers)
        self.weight = weight
        require_range("distiller", 0, 1, masked=masked)
        self.masked = masked

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        check_same_shape("mgd", learnt.fused, taught.fused, number)
        images, _, h, w = learnt.fused.shape
        kept = torch.rand(images, 1, h, w, device=learnt.fused.device) >= self.masked
        generated = self.generate[number - 1](learnt.fused * kept)
        difference = (generated.float() - taught.fused.float()).square().sum((1, 2, 3))
        return {"mgd": self.weight * difference.mean()}


def _generator(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1)
    )
