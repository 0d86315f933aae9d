# The student of the demo, distilled from config/demo/r50.py.
_base_ = ["../_base_/model/demo_r18.py", "../_base_/data/demo.py", "../_base_/schedule/demo_4e.py"]
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/demo/r50.py", checkpoint="outputs/demo/teacher/checkpoint_last.pth.tar")],
)
