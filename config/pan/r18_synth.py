_base_ = ["../_base_/pan_r18.py", "../_base_/synthtext.py"]
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=1, optimizer="Adam", parts=100, save_interval=100)
