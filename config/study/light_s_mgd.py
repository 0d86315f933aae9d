# Masked generative distillation of the text feature.
_base_ = ["light_s.py"]
distiller = dict(
    type="MaskedGenerativeDistiller",
    teachers=[
        dict(
            config="config/study/light_s_teacher.py",
            checkpoint="work_dirs/study_light_s_teacher/checkpoint_last.pth.tar",
        )
    ],
)
