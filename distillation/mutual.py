"""Mutual learning: two students teach each other.

DML: Zhang et al., Deep Mutual Learning, CVPR 2018. CML, with a frozen teacher besides: PP-OCRv2, Du et al., 2021,
section 2.1, and PP-OCRv3.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from distillation.base import LEARNERS, StepResult
from distillation.soft_maps import SoftMapDistiller


@LEARNERS.register_module()
class MutualDistiller(SoftMapDistiller):
    """Two students of one architecture learn the task, each other's maps and, if there are any, those of the teachers.

    They start from different random weights, see the same images, and each takes the other's maps as they are in this
    step. Saved and measured is the first. A step costs about twice that of SoftMapDistiller.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller; without a teacher it is DML, with one CML.
        peer: the second student. It starts from ImageNet weights if the student does, not from `train_cfg.pretrain`.
        peer_weight: weight of the terms between the students.
        bce_weight, dice_weight, temperature: see SoftMapTerms.
        feature_weight: see SoftMapDistiller; also of the other student's text feature.
    """

    given: ClassVar[tuple[str, ...]] = (*SoftMapDistiller.given, "peer")
    needs_teachers: ClassVar[bool] = False

    def __init__(self, *core: Any, peer: nn.Module, peer_weight: float = 1.0, **more: Any) -> None:
        super().__init__(*core, **more)
        self.peer = peer
        self.peer_weight = peer_weight

    def forward(self, batch: Any) -> StepResult:
        taught = self.teach(batch.images)
        learnt, other = self.student(batch.images), self.peer(batch.images)
        result = self.learn(learnt, taught, batch)
        losses = result.losses | {
            f"peer_{name}": loss for name, loss in self.learn(other, taught, batch).losses.items()
        }
        for name, one, two in (("mutual", learnt, other), ("peer_mutual", other, learnt)):
            fixed = two._replace(fused=two.fused.detach(), logits=two.logits.detach())
            for term, value in self.warmed(self.terms(one, fixed, batch, 0)).items():
                losses[f"{name}_{term}"] = self.peer_weight * value
        return StepResult(losses, result.metrics)
