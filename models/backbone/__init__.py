from models.backbone.resnet import ResNet
from models.backbone.timm_backbone import TimmBackbone

__all__ = ["ResNet", "TimmBackbone"]
