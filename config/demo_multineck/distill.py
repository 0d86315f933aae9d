# The student of the demo, distilled from both teachers.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
distiller = dict(
    type="MultiNeckDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher1.py",
            checkpoint="outputs/demo-multineck/teacher1/checkpoint_last.pth.tar",
            centers="outputs/demo-multineck/features/roi_features_teacher1_centers.npz",
        ),
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="outputs/demo-multineck/teacher2/checkpoint_last.pth.tar",
            centers="outputs/demo-multineck/features/roi_features_teacher2_centers.npz",
        ),
    ],
    channels=64,
    # Of standardised maps, since the teachers' features are several times those of the student. The pyramid that RPN
    # and heads use learns from the better teacher; the branches beside it, with a tenth of the published weights, with
    # which the branches alone gain nothing (docs/multineck.md).
    normalisation="standard",
    merged_teacher=1,
    weights=[0.05, 0.05],
    object_weight=2e-7,
)
