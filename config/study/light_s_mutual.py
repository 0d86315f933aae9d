# Collaborative mutual learning: two of the smallest students and the teacher.
_base_ = ["light_s.py"]
distiller = dict(
    type="MutualDistiller",
    teachers=[
        dict(
            config="config/study/light_s_teacher.py",
            checkpoint="work_dirs/study_light_s_teacher/checkpoint_last.pth.tar",
        )
    ],
)
