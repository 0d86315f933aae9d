# PKD with one branch of the multi-neck for each teacher of the multi-neck demo.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
distiller = dict(
    type="PearsonDistiller",
    teachers=[
        dict(
            config="config/demo_multineck/teacher1.py",
            checkpoint="work_dirs/demo_multineck_teacher1/checkpoint_last.pth.tar",
        ),
        dict(
            config="config/demo_multineck/teacher2.py",
            checkpoint="work_dirs/demo_multineck_teacher2/checkpoint_last.pth.tar",
        ),
    ],
)
