"""Inference: detections, their scores, measurements of speed, and exported networks.

`Predictor` is imported when it is first asked for: exported networks run without torch.
"""

from typing import Any

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name != "Predictor":
        raise AttributeError(name)
    from engine.inference.predictor import Predictor

    return Predictor
