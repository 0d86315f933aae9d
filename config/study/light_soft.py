# Soft maps: cross-entropy and dice with the teacher's probabilities.
_base_ = ["light_m.py"]
distiller = dict(
    type="SoftMapDistiller",
    teachers=[
        dict(config="config/study/light_teacher.py", checkpoint="work_dirs/study_light_teacher/checkpoint_last.pth.tar")
    ],
)
