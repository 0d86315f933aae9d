_base_ = ["../_base_/model/kkd_r50.py", "../_base_/data/total_text.py", "../_base_/schedule/adam_600e.py"]
