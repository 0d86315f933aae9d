# Soft maps and features of the detector in the middle, for the smallest student.
_base_ = ["light_s.py"]
distiller = dict(
    type="SoftMapDistiller",
    feature_weight=1.0,
    teachers=[
        dict(
            config="config/study/light_s_teacher.py",
            checkpoint="work_dirs/study_light_s_teacher/checkpoint_last.pth.tar",
        )
    ],
)
