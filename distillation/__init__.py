"""Learners: each turns a batch into named losses. A distillation method is one class in one file."""

from distillation.base import LEARNERS, Distiller, Learner, StepResult, Supervised, SupervisedDetection
from distillation.centers import Centers, load_centers
from distillation.fgd import FGDDistiller
from distillation.kernel_mask import KernelMaskDistiller, kernel_mask_loss
from distillation.multineck import MultiNeckDistiller

__all__ = [
    "LEARNERS",
    "Centers",
    "Distiller",
    "FGDDistiller",
    "KernelMaskDistiller",
    "Learner",
    "MultiNeckDistiller",
    "StepResult",
    "Supervised",
    "SupervisedDetection",
    "kernel_mask_loss",
    "load_centers",
]
