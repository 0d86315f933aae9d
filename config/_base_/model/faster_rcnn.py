# Faster R-CNN with a feature pyramid (Ren et al., NeurIPS 2015; Lin et al., CVPR 2017), on torchvision's ResNet.
model = dict(
    type="RCNN",
    backbone=dict(type="TorchvisionResNet", depth=50, pretrained=None),
    neck=dict(type="FPN", channels=256),
    rpn=dict(type="RPN"),
    heads=dict(type="FasterHeads"),
    num_classes=80,
)
