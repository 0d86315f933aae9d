_base_ = ["../_base_/model/light_l.py", "../_base_/data/ctw1500.py", "../_base_/schedule/light_400e.py"]
