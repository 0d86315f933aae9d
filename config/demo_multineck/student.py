# The student of the demo without distillation.
_base_ = ["../_base_/demo_multineck.py"]
model = dict(
    type="RCNN",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="MultiNeckFPN", channels=64),
    rpn=dict(
        type="RPN",
        sizes=[16, 32, 64, 128, 256],
        pre_nms_train=400,
        post_nms_train=200,
        pre_nms_test=200,
        post_nms_test=100,
    ),
    heads=dict(type="FasterHeads", representation=128, samples=64),
    num_classes=6,
)
train_cfg = dict(lr=2e-3, schedule="polylr", epoch=3, optimizer="Adam", warmup=50, clip_grad=10.0, val_interval=3)
