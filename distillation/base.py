"""Base classes of the learners and of the distillation methods, which train a student with frozen teachers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from mmengine.registry import Registry
from torch import Tensor, nn

from errors import InputError
from models.fuse import fuse_batch_norm

LEARNERS = Registry("learner")


@dataclass
class StepResult:
    """Result of a learner for one batch.

    Attributes:
        losses: weighted scalars; training minimises their sum and nothing else.
        metrics: scalars to report, without gradient.
    """

    losses: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Learner(nn.Module):
    """Base of all learners. Called with a batch (dataset.TextBatch or ObjectBatch), returns a StepResult.

    Args:
        student: the network that is trained and saved.

    Attributes:
        given: arguments that the engine passes; all others come from the `distiller` section of a config.
    """

    given: ClassVar[tuple[str, ...]] = ("student", "loss", "teachers")

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Any) -> StepResult:
        raise NotImplementedError

    def student_state_dict(self) -> dict[str, Tensor]:
        """The student's tensors alone, under the names that the bare detector uses."""
        return self.student.state_dict()


class Supervised(Learner):
    """Supervised training of a text detector: a teacher, or a student without a teacher."""

    def __init__(self, student: nn.Module, loss: nn.Module | None) -> None:
        super().__init__(student)
        self.loss = loss

    def forward(self, batch: Any) -> StepResult:
        return StepResult(*self.supervise(self.student(batch.images).logits, batch))

    def supervise(self, logits: Tensor, batch: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and metrics of the student's own task, of the images that have labels."""
        maps = logits, batch.text, batch.kernels, batch.training_mask, batch.instances
        return self.loss(*(own[: batch.labelled] for own in maps))


class SupervisedObjects(Learner):
    """Supervised training of an object detector, which computes its own losses: a teacher, or a student without one."""

    def forward(self, batch: Any) -> StepResult:
        return StepResult(self.student(batch.images, batch.sizes, batch.targets).losses)


class Teachers(nn.ModuleList):
    """Frozen networks, which copies of a learner (the average of its weights) share."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Teachers:
        return self


class Distiller(Supervised):
    """A student with teachers, which stay frozen and in evaluation mode even after `train()`.

    Args:
        student: the network that is trained and saved.
        loss: the student's own task loss; None for an object detector, which computes its own.
        teachers: trained networks; engine.training.teachers loads them, and every tensor must match, so that no
            student learns from a teacher of random weights. Their batch norms are folded into convolutions here.

    Attributes:
        needs_teachers: False if the method works without any, too.
        needs_labels: False if its terms read no labels, so that it teaches on images without any (data.unlabelled).
        task: of the detectors that it trains, 'text' or 'objects'; None for both.
        strength: factor on the method's terms, which the engine raises from 0 to 1 (train_cfg.distillation_warmup).
        teacher_dtype: precision of the teachers: float32, or mixed precision with bfloat16 or float16; None for that of
            the student's training.

    Raises:
        InputError: no teacher.
    """

    needs_teachers: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    task: ClassVar[str | None] = None
    strength: float = 1.0
    teacher_dtype: torch.dtype | None = None

    def __init__(self, student: nn.Module, loss: nn.Module | None, teachers: Sequence[nn.Module]) -> None:
        super().__init__(student, loss)
        if not teachers and self.needs_teachers:
            raise InputError("distiller: no teacher given")
        self.teachers = Teachers(fuse_batch_norm(teacher) for teacher in teachers).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Distiller:
        super().train(mode)
        self.teachers.eval()
        return self

    def warmed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of the method, times `strength`."""
        return {name: self.strength * value for name, value in terms.items()}

    @contextmanager
    def teaching(self, images: Tensor) -> Iterator[None]:
        """Context of the teachers' forward passes: no gradients, and the precision of `teacher_dtype`."""
        device = images.device.type
        dtype = self.teacher_dtype or torch.get_autocast_dtype(device)
        mixed = torch.is_autocast_enabled(device) if self.teacher_dtype is None else dtype != torch.float32
        with torch.no_grad(), torch.autocast(device, dtype, enabled=mixed):
            yield


def weights_of_teachers(name: str, given: Any, teachers: int) -> list[float]:
    """A weight for each teacher, 1/number of teachers if none are given.

    Raises:
        InputError: others than so many finite numbers of 0 or more; it names `distiller.NAME`.
    """
    if given is None:
        return [1 / teachers for _ in range(teachers)]
    numbers = isinstance(given, Sequence) and all(isinstance(w, (int, float)) and 0 <= w < math.inf for w in given)
    if not numbers or len(given) != teachers:
        expected = f"a list of {teachers} numbers of 0 or more, one for each teacher"
        raise InputError(f"distiller.{name}={given!r}: expected {expected}")
    return list(given)
