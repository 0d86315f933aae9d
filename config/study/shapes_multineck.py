# The multi-neck as published, but of standardised maps, for the student of the multi-neck demo.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
distiller = dict(
    type="MultiNeckDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher1.py",
            checkpoint="work_dirs/demo_multineck_teacher1/checkpoint_last.pth.tar",
            centers="work_dirs/study_shapes_multineck/roi_features_teacher1_centers.npz",
        ),
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="work_dirs/demo_multineck_teacher2/checkpoint_last.pth.tar",
            centers="work_dirs/study_shapes_multineck/roi_features_teacher2_centers.npz",
        ),
    ],
    channels=64,
    normalisation="standard",
)
