"""Learners: each turns a batch into named losses. A distillation method is one class in one file."""

from distillation.base import LEARNERS, Distiller, Learner, StepResult, Supervised
from distillation.kernel_mask import KernelMaskDistiller, kernel_mask_loss

__all__ = [
    "LEARNERS",
    "Distiller",
    "KernelMaskDistiller",
    "Learner",
    "StepResult",
    "Supervised",
    "kernel_mask_loss",
]
