# The distillation of the multi-neck demo for a student whose backbone starts from ImageNet weights, like its teachers'.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0"),
)
distiller = dict(
    type="MultiNeckDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher1.py",
            checkpoint="work_dirs/demo_multineck_teacher1/checkpoint_last.pth.tar",
            centers="work_dirs/study_shapes_imagenet_multineck/roi_features_teacher1_centers.npz",
        ),
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="work_dirs/demo_multineck_teacher2/checkpoint_last.pth.tar",
            centers="work_dirs/study_shapes_imagenet_multineck/roi_features_teacher2_centers.npz",
        ),
    ],
    channels=64,
    normalisation="standard",
    merged_teacher=1,
    weights=[0.05, 0.05],
    object_weight=2e-7,
)
