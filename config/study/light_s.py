# The smallest student of the study of the detectors for CPUs, alone.
_base_ = ["../_base_/model/light_s.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
train_cfg = dict(epoch=16)
data = dict(train=dict(text_crops=1.0))
