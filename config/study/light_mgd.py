# Masked generative distillation of the text feature.
_base_ = ["light_m.py"]
distiller = dict(
    type="MaskedGenerativeDistiller",
    teachers=[
        dict(config="config/study/light_teacher.py", checkpoint="work_dirs/study_light_teacher/checkpoint_last.pth.tar")
    ],
)
