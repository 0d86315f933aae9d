# FGD from the second teacher of the multi-neck demo, for a student whose backbone starts from ImageNet weights.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0"),
)
distiller = dict(
    type="FGDDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="work_dirs/demo_multineck_teacher2/checkpoint_last.pth.tar",
        ),
    ],
    channels=64,
    normalisation="standard",
)
