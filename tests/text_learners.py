"""Learners of text detectors, small ones."""

import torch
from text_networks import small_model

from distillation import (
    ChannelWiseDistiller,
    FeatureMSEDistiller,
    FGDTextDistiller,
    KernelMaskDistiller,
    MaskedGenerativeDistiller,
    ResponseDistiller,
    SoftMapDistiller,
)
from models import PANLoss, build_detector

METHODS = {
    "kkd": (KernelMaskDistiller, {}),
    "cwd": (ChannelWiseDistiller, dict(response_weight=3.0)),
    "feature_mse": (FeatureMSEDistiller, {}),
    "response": (ResponseDistiller, {}),
    "soft_maps": (SoftMapDistiller, {}),
    "soft_features": (SoftMapDistiller, dict(feature_weight=1.0)),
    "mgd": (MaskedGenerativeDistiller, dict(masked=0.0)),
    "fgd": (FGDTextDistiller, {}),
}


def networks(*models: dict, seed: int = 0) -> list:
    torch.manual_seed(seed)
    return [build_detector(model) for model in models]


def learner_of(method: str, change=lambda model: model, **options):
    """With student and teacher of small models, both changed."""
    student, teacher = networks(change(small_model()), change(small_model(adapter=False, depth=50)))
    kind, own = METHODS[method]
    return kind(student, PANLoss(), [teacher], **{**own, **options})


@torch.no_grad()
def outputs(learner, batch):
    """Of student and teacher, as in a step of the learner in evaluation mode."""
    return learner.student(batch.images), learner.teachers[0](batch.images)


def with_ignored_text(batch):
    """A corner that is not judged, which does not end at a pixel of the maps."""
    batch.training_mask[0, :19, :30] = 0
    return batch
