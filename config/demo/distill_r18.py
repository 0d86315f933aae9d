# The student of the demo, distilled from config/demo/r50.py.
_base_ = ["../_base_/demo.py", "../_base_/demo_r18.py"]
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=4, optimizer="Adam", val_interval=2, save_interval=1)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/demo/r50.py", checkpoint="outputs/demo/teacher/checkpoint_last.pth.tar")],
)
