# Of the study of the detectors for CPUs on real images: their schedule, short.
train_cfg = dict(
    lr=8e-3,
    backbone_lr_factor=0.5,
    schedule="cosine",
    epoch=4,
    optimizer="AdamW",
    weight_decay=0.01,
    decay_norms=False,
    warmup=100,
    clip_grad=5.0,
    ema=0.999,
    val_interval=0,
    save_interval=100,
)
