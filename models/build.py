"""From the `model` section of a config to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.objects.rcnn import RCNN, build_rcnn
from models.registry import MODELS
from models.text.detector import build_text_detector


def build_detector(model: Mapping[str, Any]) -> nn.Module:
    """Builds the `model` section of a config, part by part: a text detector, or an R-CNN.

    Raises:
        InputError: parts that do not fit each other.
    """
    is_rcnn = issubclass(MODELS.get(model["type"]), RCNN)
    return build_rcnn(model) if is_rcnn else build_text_detector(model)
