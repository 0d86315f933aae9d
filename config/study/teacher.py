# From scratch a ResNet-50 learns more slowly than its students: it has more epochs.
_base_ = ["../_base_/model/study_r50.py", "../_base_/data/study.py", "../_base_/schedule/study.py"]
train_cfg = dict(epoch=8)
