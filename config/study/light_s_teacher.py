# The teacher of the smallest student: the detector in the middle, with the finer maps that config/light gives it.
_base_ = ["../_base_/model/light_m.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
model = dict(head=dict(upscale=2))
train_cfg = dict(epoch=48)
data = dict(train=dict(text_crops=1.0))
