# The teacher of the study of the detectors for CPUs: the largest of them, trained six times as long.
_base_ = ["../_base_/model/light_l.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
train_cfg = dict(lr=2e-3, epoch=24, warmup=200)
