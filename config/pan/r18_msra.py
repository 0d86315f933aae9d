_base_ = ["../_base_/model/pan_r18.py", "../_base_/data/msra_td500.py", "../_base_/schedule/adam_600e.py"]
