_base_ = ["../_base_/pan_r18.py", "../_base_/ctw1500.py"]
model = dict(backbone=dict(depth=50))
data = dict(batch_size=16)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam")
