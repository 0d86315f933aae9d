# The object detectors of the demo at a quarter of their width; backbone depth and neck are the student's.
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
