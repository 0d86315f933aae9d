"""Learners: each turns a batch into named losses. A distillation method is one class in one file."""

from distillation.base import LEARNERS, Distiller, Learner, StepResult, Supervised, SupervisedObjects
from distillation.channel_wise import ChannelWiseDistiller, channel_wise_loss
from distillation.feature_mse import FeatureMSEDistiller
from distillation.fgd import FGDDistiller
from distillation.fgd_text import FGDTextDistiller
from distillation.kernel_mask import KernelMaskDistiller, kernel_mask_loss, mask_mean_loss
from distillation.masked_generative import MaskedGenerativeDistiller
from distillation.multineck.centers import Centers, load_centers
from distillation.multineck.learner import MultiNeckDistiller
from distillation.mutual import MutualDistiller
from distillation.pearson import PearsonDistiller, pearson_loss
from distillation.response import ResponseDistiller
from distillation.soft_maps import SoftMapDistiller
from distillation.text import TextDistiller

__all__ = [
    "LEARNERS",
    "Centers",
    "ChannelWiseDistiller",
    "Distiller",
    "FGDDistiller",
    "FGDTextDistiller",
    "FeatureMSEDistiller",
    "KernelMaskDistiller",
    "Learner",
    "MaskedGenerativeDistiller",
    "MultiNeckDistiller",
    "MutualDistiller",
    "PearsonDistiller",
    "ResponseDistiller",
    "SoftMapDistiller",
    "StepResult",
    "Supervised",
    "SupervisedObjects",
    "TextDistiller",
    "channel_wise_loss",
    "kernel_mask_loss",
    "load_centers",
    "mask_mean_loss",
    "pearson_loss",
]
