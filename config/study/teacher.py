# From scratch a ResNet-50 learns more slowly than its students: it has more epochs.
_base_ = ["../_base_/study.py", "../_base_/study_r50.py"]
train_cfg = dict(epoch=8)
