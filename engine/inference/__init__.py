"""Inference: detections, their scores, and measurements of speed."""

from engine.inference.predictor import Predictor

__all__ = ["Predictor"]
