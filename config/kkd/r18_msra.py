_base_ = ["../_base_/kkd_r18.py", "../_base_/msra_td500.py"]
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam")
