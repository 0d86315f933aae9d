# Kernel-mask knowledge distillation from the detector in the middle, averaged over regions, for the smallest student.
_base_ = ["../_base_/model/light_s.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
train_cfg = dict(epoch=16)
data = dict(train=dict(text_crops=1.0))
distiller = dict(
    type="KernelMaskDistiller",
    mask="regions",
    teachers=[
        dict(
            config="config/study/light_s_teacher.py",
            checkpoint="work_dirs/study_light_s_teacher/checkpoint_last.pth.tar",
        )
    ],
)
