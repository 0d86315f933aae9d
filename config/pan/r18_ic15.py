_base_ = ["../_base_/model/pan_r18.py", "../_base_/data/icdar2015.py", "../_base_/schedule/adam_600e.py"]
