# Kernel-mask knowledge distillation from the detector in the middle, averaged over regions, for the smallest student.
_base_ = ["light_s.py"]
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
