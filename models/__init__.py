"""Networks: tensors in, tensors out. Build one from the `model` section of a config with `build_detector`."""

from models.backbone import ResNet, TimmBackbone
from models.head import PANHead, PSENetHead
from models.loss import PANLoss, PSENetLoss
from models.neck import FPEMNeck, PSENetFPN
from models.outputs import DetectorOutput
from models.registry import LOSSES, MODELS
from models.text_detector import TextDetector, build_detector
from models.transformer import FeatureAdapter, VisualTransformer

__all__ = [
    "LOSSES",
    "MODELS",
    "DetectorOutput",
    "FPEMNeck",
    "FeatureAdapter",
    "PANHead",
    "PANLoss",
    "PSENetFPN",
    "PSENetHead",
    "PSENetLoss",
    "ResNet",
    "TextDetector",
    "TimmBackbone",
    "VisualTransformer",
    "build_detector",
]
