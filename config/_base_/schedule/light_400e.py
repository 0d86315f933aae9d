# Of the detectors for CPUs.
train_cfg = dict(
    lr=2e-3,
    backbone_lr_factor=0.5,
    schedule="cosine",
    epoch=400,
    optimizer="AdamW",
    weight_decay=0.01,
    decay_norms=False,
    warmup=200,
    clip_grad=5.0,
    ema=0.999,
)
