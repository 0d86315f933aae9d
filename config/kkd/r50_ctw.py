_base_ = ["../_base_/model/kkd_r50.py", "../_base_/data/ctw1500.py", "../_base_/schedule/adam_600e.py"]
train_cfg = dict(epoch=400)
