_base_ = ["../_base_/model/psenet_r50.py", "../_base_/data/icdar2015.py", "../_base_/schedule/sgd_600e.py"]
data = dict(
    batch_size=16,
    train=dict(img_size=736, short_size=1024, kernel_scale=None, kernel_num=7, min_scale=0.4),
    test=dict(short_size=1024),
)
