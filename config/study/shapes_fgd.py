# FGD from the second teacher of the multi-neck demo, of standardised maps, for the demo's student.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
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
