_base_ = ["../_base_/model/pan_r18.py", "../_base_/data/ctw1500.py", "../_base_/schedule/adam_600e.py"]
data = dict(batch_size=16)
