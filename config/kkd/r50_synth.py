_base_ = ["../_base_/kkd_r50.py", "../_base_/synthtext.py"]
data = dict(batch_size=12)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=1, optimizer="Adam", parts=100, save_interval=100)
