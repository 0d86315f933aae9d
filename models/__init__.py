"""Networks: tensors in, tensors out. Build one from the `model` section of a config with `build_detector`."""

from models.backbone import ResNet, TimmBackbone, TorchvisionResNet
from models.build import build_detector
from models.objects.cascade import CascadeHeads
from models.objects.fpn import FPN, MultiNeckFPN
from models.objects.heads import FasterHeads, MaskHeads
from models.objects.rcnn import RCNN, RCNNOutput, current_names, paste_masks
from models.objects.rpn import RPN
from models.registry import LOSSES, MODELS
from models.text.detector import TextDetector
from models.text.fpem import FPEMNeck
from models.text.head import PANHead, PSENetHead, SeparablePANHead
from models.text.output import TextOutput
from models.text.pan_loss import PANLoss, PSENetLoss
from models.text.psenet_fpn import PSENetFPN
from models.text.transformer import FeatureAdapter, VisualTransformer

__all__ = [
    "FPN",
    "LOSSES",
    "MODELS",
    "RCNN",
    "RPN",
    "CascadeHeads",
    "FPEMNeck",
    "FasterHeads",
    "FeatureAdapter",
    "MaskHeads",
    "MultiNeckFPN",
    "PANHead",
    "PANLoss",
    "PSENetFPN",
    "PSENetHead",
    "PSENetLoss",
    "RCNNOutput",
    "ResNet",
    "SeparablePANHead",
    "TextDetector",
    "TextOutput",
    "TimmBackbone",
    "TorchvisionResNet",
    "VisualTransformer",
    "build_detector",
    "current_names",
    "paste_masks",
]
