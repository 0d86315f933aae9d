_base_ = ["../_base_/psenet_r50.py", "../_base_/total_text.py"]
data = dict(
    batch_size=16,
    train=dict(img_size=736, short_size=736, kernel_scale=None, kernel_num=7, min_scale=0.7),
    test=dict(short_size=736),
)
train_cfg = dict(
    lr=1e-3,
    schedule=[200, 400],
    epoch=600,
    optimizer="SGD",
    momentum=0.99,
    weight_decay=5e-4,
    pretrain="work_dirs/psenet_r50_synth/checkpoint_last.pth.tar",
)
