_base_ = ["../_base_/model/kkd_r50.py", "../_base_/data/icdar2015.py", "../_base_/schedule/adam_600e.py"]
