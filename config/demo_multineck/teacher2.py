# The second teacher of the demo: Cascade Mask R-CNN.
_base_ = ["../_base_/demo_multineck.py"]
model = dict(
    type="RCNN",
    backbone=dict(type="ResNet", depth=50, width=16),
    neck=dict(type="FPN", channels=64),
    rpn=dict(
        type="RPN",
        sizes=[16, 32, 64, 128, 256],
        pre_nms_train=400,
        post_nms_train=200,
        pre_nms_test=200,
        post_nms_test=100,
    ),
    heads=dict(type="CascadeHeads", representation=128, samples=64, mask=True, mask_channels=32),
    num_classes=6,
)
data = dict(train=dict(with_masks=True))
train_cfg = dict(lr=2e-3, schedule="polylr", epoch=3, optimizer="Adam", warmup=50, clip_grad=10.0, val_interval=3)
