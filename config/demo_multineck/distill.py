# The student of the demo, distilled from both teachers.
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
distiller = dict(
    type="MultiNeckDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher1.py",
            checkpoint="outputs/demo-multineck/teacher1/checkpoint_last.pth.tar",
            centers="outputs/demo-multineck/roi_features_teacher1_centers.npz",
        ),
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="outputs/demo-multineck/teacher2/checkpoint_last.pth.tar",
            centers="outputs/demo-multineck/roi_features_teacher2_centers.npz",
        ),
    ],
    channels=64,
    # A hundredth of the published weights, which are for features that start from ImageNet: here they drown the
    # detector's own losses.
    alpha=1e-5,
    beta=5e-6,
    gamma=5e-6,
    lambda_=5e-8,
    object_weight=2e-8,
)
