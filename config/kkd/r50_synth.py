_base_ = ["../_base_/model/kkd_r50.py", "../_base_/data/synthtext.py", "../_base_/schedule/adam_synthtext.py"]
data = dict(batch_size=12)
