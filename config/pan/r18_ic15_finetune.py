_base_ = ["../_base_/pan_r18.py", "../_base_/icdar2015.py"]
train_cfg = dict(
    lr=1e-3,
    schedule="polylr",
    epoch=600,
    optimizer="Adam",
    pretrain="work_dirs/pan_r18_synth/checkpoint_last.pth.tar",
)
