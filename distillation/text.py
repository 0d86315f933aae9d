"""Base class for the distillation of text detectors: one pass of each network per batch, terms for every teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from distillation.base import Distiller, StepResult, weights_of_teachers
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
        InputError: wrong teacher weights, or output maps of teacher and student with different meanings.
    """

    uses_pyramid: ClassVar[bool] = False
    task = "text"

    def __init__(
        self,
        student: nn.Module,
        loss: nn.Module,
        teachers: Sequence[nn.Module],
        teacher_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(student, loss, teachers)
        self.teacher_weights = weights_of_teachers("teacher_weights", teacher_weights, len(teachers))
        for number, teacher in enumerate(self.teachers, 1):
            own, other = student.head.maps, teacher.head.maps
            if len(own) == len(other) and own != other:
                raise InputError(
                    f"distiller: the student predicts {own}, teacher {number} {other}; give both the same head"
                )

    def match_features(self) -> None:
        """Adds a 1x1 convolution from the student's text feature to each teacher's, where their channels differ.

        For methods that compare features, to be called when they are constructed. The convolutions learn with the
        student, are no part of its checkpoint, and `terms` gets what they make (FitNets, Romero et al., ICLR 2015).
        """
        own, taught = sum(self.student.neck.channels), [sum(teacher.neck.channels) for teacher in self.teachers]
        self.feature_match = nn.ModuleList(_matching(own, channels) for channels in taught)

    def match_pyramids(self) -> None:
        """As `match_features`, for each level of the pyramid."""
        self.pyramid_match = nn.ModuleList(
            nn.ModuleList(map(_matching, self.student.neck.channels, teacher.neck.channels))
            for teacher in self.teachers
        )

    def forward(self, batch: Any) -> StepResult:
        taught = self.teach(batch.images)
        return self.learn(self.student(batch.images), taught, batch)

    def teach(self, images: Tensor) -> list[TextOutput]:
        """Outputs of the teachers."""
        with self.teaching(images):
            return [self._teach(teacher, images) for teacher in self.teachers]

    def learn(self, learnt: TextOutput, taught: Sequence[TextOutput], batch: Any) -> StepResult:
        """Losses of a student with this output: its own task and the terms of every teacher."""
        losses, metrics = self.supervise(learnt.logits, batch)
        for number, (weight, output) in enumerate(zip(self.teacher_weights, taught), 1):
            suffix = f"_{number}" if len(taught) > 1 else ""
            for name, term in self.warmed(self.terms(self._matched(learnt, number), output, batch, number)).items():
                losses[name + suffix] = weight * term
        return StepResult(losses, metrics)

    def _teach(self, teacher: nn.Module, images: Tensor) -> TextOutput:
        output = teacher(images)
        return output if self.uses_pyramid else output._replace(pyramid=())

    def _matched(self, learnt: TextOutput, number: int) -> TextOutput:
        if hasattr(self, "feature_match"):
            learnt = learnt._replace(fused=self.feature_match[number - 1](learnt.fused))
        if hasattr(self, "pyramid_match"):
            levels = zip(self.pyramid_match[number - 1], learnt.pyramid)
            learnt = learnt._replace(pyramid=tuple(match(level) for match, level in levels))
        return learnt

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        """The method's weighted scalars by name, for one teacher.

        Args:
            learnt, taught: outputs of the student and of the teacher, of the same images; the student's features after
                `match_features` and `match_pyramids`, if called.
            batch: a dataset.TextBatch.
            number: number of the teacher, from 1, for messages.
        """
        raise NotImplementedError


def _matching(channels: int, wanted: int) -> nn.Module:
    return nn.Identity() if channels == wanted else nn.Conv2d(channels, wanted, 1)


def check_same_shape(name: str, student: Tensor, teacher: Tensor, number: int) -> None:
    """InputError unless the maps that term `name` compares have one shape."""
    if student.shape != teacher.shape:
        raise InputError(
            f"distiller: student maps {tuple(student.shape[1:])} and maps {tuple(teacher.shape[1:])} of "
            f"teacher {number} ({name}) differ; give both the same neck channels and head"
        )
