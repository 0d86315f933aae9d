_base_ = ["../_base_/model/pan_r18.py", "../_base_/data/ctw1500.py", "../_base_/schedule/adam_600e.py"]
model = dict(backbone=dict(depth=50))
data = dict(batch_size=16)
