# The study's teacher, on real images after the synthetic ones.
_base_ = ["../_base_/model/study_r50.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_ic15.py"]
train_cfg = dict(epoch=28, val_interval=14, pretrain="outputs/gain/synthetic/teacher/seed_0/checkpoint_last.pth.tar")
