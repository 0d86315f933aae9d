from models.backbone.resnet import ResNet
from models.backbone.timm_backbone import TimmBackbone
from models.backbone.torchvision_resnet import TorchvisionResNet

__all__ = ["ResNet", "TimmBackbone", "TorchvisionResNet"]
