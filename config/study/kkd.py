# Kernel-mask knowledge distillation, as published.
_base_ = ["../_base_/study.py", "../_base_/demo_r18.py"]
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/study/teacher.py", checkpoint="work_dirs/study_teacher/checkpoint_last.pth.tar")],
)
