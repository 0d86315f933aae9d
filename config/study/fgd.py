# Focal and global distillation with text boxes.
_base_ = ["../_base_/model/demo_r18.py", "../_base_/data/study.py", "../_base_/schedule/study.py"]
distiller = dict(
    type="FGDTextDistiller",
    teachers=[dict(config="config/study/teacher.py", checkpoint="work_dirs/study_teacher/checkpoint_last.pth.tar")],
)
