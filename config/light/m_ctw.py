_base_ = ["../_base_/model/light_m.py", "../_base_/data/ctw1500.py", "../_base_/schedule/light_400e.py"]
model = dict(head=dict(upscale=2))
