"""Base class for the distillation of text detectors: one pass of each network per batch, terms for every teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from distillation.base import Distiller, StepResult
from errors import InputError
from models import TextOutput


class TextDistiller(Distiller):
    """Base of the methods; a method only has to define `terms`.

    With several teachers the terms are named NAME_1, NAME_2 and so on.

    Args:
        student, loss, teachers: see Distiller.
        teacher_weights: weight of the terms of each teacher, in their order; None for 1/number of teachers each.

    Attributes:
        uses_pyramid: True if `terms` reads the teachers' pyramids; otherwise their memory is freed.

    Raises:
        InputError: a wrong number of teacher weights, or output maps of teacher and student with different meanings.
    """

    uses_pyramid: ClassVar[bool] = False

    def __init__(
        self,
        student: nn.Module,
        loss: nn.Module,
        teachers: Sequence[nn.Module],
        teacher_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(student, loss, teachers)
        if teacher_weights is None:
            teacher_weights = [1 / len(teachers)] * len(teachers)
        numbers = isinstance(teacher_weights, Sequence) and all(isinstance(w, (int, float)) for w in teacher_weights)
        if not numbers or len(teacher_weights) != len(teachers):
            expected = f"a list of {len(teachers)} numbers, one for each teacher"
            raise InputError(f"distiller.teacher_weights={teacher_weights!r}: expected {expected}")
        self.teacher_weights = teacher_weights
        for number, teacher in enumerate(self.teachers, 1):
            own, other = student.head.maps, teacher.head.maps
            if len(own) == len(other) and own != other:
                raise InputError(
                    f"distiller: the student predicts {own}, teacher {number} {other}; give both the same head"
                )

    def forward(self, batch: Any) -> StepResult:
        with self.teaching(batch.images):
            taught = [self._teach(teacher, batch.images) for teacher in self.teachers]
        learnt = self.student(batch.images)
        losses, metrics = self.supervise(learnt.logits, batch)
        for number, (weight, output) in enumerate(zip(self.teacher_weights, taught), 1):
            suffix = f"_{number}" if len(taught) > 1 else ""
            for name, term in self.terms(learnt, output, batch, number).items():
                losses[name + suffix] = weight * term
        return StepResult(losses, metrics)

    def _teach(self, teacher: nn.Module, images: Tensor) -> TextOutput:
        output = teacher(images)
        return output if self.uses_pyramid else output._replace(pyramid=())

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        """The method's weighted scalars by name, for one teacher.

        Args:
            learnt, taught: outputs of the student and of the teacher, of the same images.
            batch: a dataset.TextBatch.
            number: number of the teacher, from 1, for messages.
        """
        raise NotImplementedError


def check_same_shape(name: str, student: Tensor, teacher: Tensor, number: int) -> None:
    """InputError unless the maps that term `name` compares have one shape."""
    if student.shape != teacher.shape:
        raise InputError(
            f"distiller: student maps {tuple(student.shape[1:])} and maps {tuple(teacher.shape[1:])} of "
            f"teacher {number} ({name}) differ; give both the same neck channels and head"
        )
