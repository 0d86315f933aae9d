# Channel-wise distillation of the output maps on real images, of a student that has seen the study's synthetic ones.
_base_ = ["../_base_/model/demo_r18.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_ic15.py"]
train_cfg = dict(pretrain="outputs/gain/synthetic/student_alone/seed_0/checkpoint_last.pth.tar")
distiller = dict(
    type="ChannelWiseDistiller",
    teachers=[
        dict(config="config/study/ic15_teacher.py", checkpoint="work_dirs/study_ic15_teacher/checkpoint_last.pth.tar")
    ],
    feature_weight=0.0,
    response_weight=3.0,
)
