_base_ = ["../_base_/model/psenet_r50.py", "../_base_/data/synthtext.py", "../_base_/schedule/sgd_600e.py"]
data = dict(
    batch_size=16,
    train=dict(img_size=736, short_size=736, kernel_scale=None, kernel_num=7, min_scale=0.7),
)
train_cfg = dict(schedule="polylr", epoch=1, parts=100, save_interval=100)
