"""PKD: distillation of object detectors by Pearson correlation of features (Cao et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distillation.base import LEARNERS, Distiller, StepResult
from distillation.fgd_terms import check_same_pyramid, pyramid_of, standardised
from errors import InputError


def pearson_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Half of the mean squared difference of standardised maps (B, C, H, W), in float32 (section 3.3).

    It is 1 minus the mean over channels of the correlation of both, over all pixels of the batch: 0 to 2.
    """
    return (standardised(student.float()) - standardised(teacher.float())).square().mean() / 2


@LEARNERS.register_module()
class PearsonDistiller(Distiller):
    """A detector learns patterns from the pyramids P2 to P5 of its teachers, whatever their scale.

    From one teacher the pyramid learns that RPN and heads use; from several, branch i of a multi-neck learns from
    teacher i, each with an equal share of the weight.

    Args:
        student, teachers: see Distiller. They are detectors that return their features (models.RCNN).
        loss: unused, a detector computes its own.
        weight: weight of the terms of all teachers together; 6 in the paper for detectors of two stages, 10 for one.

    Raises:
        InputError: pyramids that differ, or several teachers and another number of branches.
    """

    task = "objects"

    def __init__(
        self, student: nn.Module, loss: nn.Module | None, teachers: Sequence[nn.Module], weight: float = 6.0
    ) -> None:
        super().__init__(student, loss, teachers)
        self.weight = weight

    def forward(self, batch: Any) -> StepResult:
        with self.teaching(batch.images):
            taught = [pyramid_of(teacher, batch.images) for teacher in self.teachers]
        learnt = self.student(batch.images, batch.sizes, batch.targets)
        pyramids = [learnt.pyramid[:4]] if len(taught) == 1 else learnt.branches
        if len(pyramids) != len(taught):
            raise InputError(f"distiller: the student's neck has {len(pyramids)} branches for {len(taught)} teachers")
        terms = {}
        for number, (student, teacher) in enumerate(zip(pyramids, taught), 1):
            check_same_pyramid(student, teacher)
            suffix = f"_{number}" if len(taught) > 1 else ""
            with torch.autocast(batch.images.device.type, enabled=False):
                levels = torch.stack([pearson_loss(*pair) for pair in zip(student, teacher)])
            terms[f"pearson{suffix}"] = self.weight / len(taught) * levels.sum()
        return StepResult({**learnt.losses, **self.warmed(terms)})
