# The first teacher of the demo: Faster R-CNN.
_base_ = ["../_base_/demo_multineck.py"]
model = dict(
    type="RCNN",
    backbone=dict(type="ResNet", depth=50, width=16),
    neck=dict(type="FPN", channels=64),
    rpn=dict(type="RPN", sizes=[16, 32, 64, 128, 256]),
    heads=dict(type="FasterHeads", representation=128),
    num_classes=6,
)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=4, optimizer="Adam", warmup=50, clip_grad=35.0, val_interval=2)
