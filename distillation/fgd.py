"""FGD: focal and global knowledge distillation for detectors (Yang et al., CVPR 2022), with one teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from distillation.base import LEARNERS, Distiller, StepResult
from distillation.fgd_terms import PyramidTerms, box_masks, pyramid_of
from errors import InputError


@LEARNERS.register_module()
class FGDDistiller(Distiller):
    """A detector learns from the pyramid of one teacher, with the pyramid that its RPN and heads use.

    Args:
        student, teachers: see Distiller; one teacher. Both are detectors that return their features (models.RCNN).
        loss: unused, a detector computes its own.
        channels: number of channels of the pyramids.
        temperature, alpha, beta, gamma, lambda_: see fgd_terms.FGDTerms; the defaults are those of the paper for
            detectors of one stage. For those of two it has 5e-5, 2.5e-5, 5e-5 and 5e-7.
        normalisation: see fgd_terms.PyramidTerms.

    Raises:
        InputError: more than one teacher, or pyramids that differ.
    """

    task = "objects"

    def __init__(
        self,
        student: nn.Module,
        loss: nn.Module | None,
        teachers: Sequence[nn.Module],
        channels: int = 256,
        temperature: float = 0.5,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        gamma: float = 5e-4,
        lambda_: float = 5e-6,
        normalisation: str = "none",
    ) -> None:
        super().__init__(student, loss, teachers)
        if len(teachers) != 1:
            raise InputError(f"distiller: FGDDistiller takes one teacher, {len(teachers)} given")
        self.terms = PyramidTerms(
            channels,
            normalisation,
            temperature=temperature,
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            lambda_=lambda_,
        )

    def forward(self, batch: Any) -> StepResult:
        with self.teaching(batch.images):
            taught = pyramid_of(self.teachers[0], batch.images)
        learnt = self.student(batch.images, batch.sizes, batch.targets)
        masks = box_masks([target["boxes"] for target in batch.targets], taught)
        terms = self.terms(learnt.pyramid[:4], taught, masks)
        return StepResult({**learnt.losses, **self.warmed({f"fgd_{name}": value for name, value in terms.items()})})
