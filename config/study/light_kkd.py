# Kernel-mask knowledge distillation, as published.
_base_ = ["../_base_/model/light_m.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[
        dict(config="config/study/light_teacher.py", checkpoint="work_dirs/study_light_teacher/checkpoint_last.pth.tar")
    ],
)
