# Collaborative mutual learning: two students and the teacher.
_base_ = ["light_m.py"]
distiller = dict(
    type="MutualDistiller",
    teachers=[
        dict(config="config/study/light_teacher.py", checkpoint="work_dirs/study_light_teacher/checkpoint_last.pth.tar")
    ],
)
