_base_ = ["../_base_/kkd_r50.py", "../_base_/ctw1500.py"]
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=400, optimizer="Adam")
