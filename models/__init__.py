"""Networks: tensors in, tensors out. Build one from the `model` section of a config with `build_detector`."""

from models.backbone import ResNet, TimmBackbone, TorchvisionResNet
from models.build import build_detector
from models.head import RPN, CascadeHeads, FasterHeads, MaskHeads, PANHead, PSENetHead
from models.loss import PANLoss, PSENetLoss
from models.neck import FPN, FPEMNeck, PSENetFPN, TwinFPN
from models.outputs import DetectorOutput
from models.rcnn import RCNN, RCNNOutput, current_names, paste_masks
from models.registry import LOSSES, MODELS
from models.text_detector import TextDetector
from models.transformer import FeatureAdapter, VisualTransformer

__all__ = [
    "FPN",
    "LOSSES",
    "MODELS",
    "RCNN",
    "RPN",
    "CascadeHeads",
    "DetectorOutput",
    "FPEMNeck",
    "FasterHeads",
    "FeatureAdapter",
    "MaskHeads",
    "PANHead",
    "PANLoss",
    "PSENetFPN",
    "PSENetHead",
    "PSENetLoss",
    "RCNNOutput",
    "ResNet",
    "TextDetector",
    "TimmBackbone",
    "TorchvisionResNet",
    "TwinFPN",
    "VisualTransformer",
    "build_detector",
    "current_names",
    "paste_masks",
]
