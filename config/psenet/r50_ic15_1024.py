_base_ = ["../_base_/psenet_r50.py", "../_base_/icdar2015.py"]
data = dict(
    batch_size=16,
    train=dict(img_size=736, short_size=1024, kernel_scale=None, kernel_num=7, min_scale=0.4),
    test=dict(short_size=1024),
)
train_cfg = dict(
    lr=1e-3,
    schedule=[200, 400],
    epoch=600,
    optimizer="SGD",
    momentum=0.99,
    weight_decay=5e-4,
)
