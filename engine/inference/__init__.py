"""From images to detections, to scores, to times."""

from engine.inference.predictor import Predictor

__all__ = ["Predictor"]
