# The schedule of multi-neck distillation, for teachers and students alike.
train_cfg = dict(
    lr=0.01,
    schedule=[8, 11],
    epoch=16,
    warmup=500,
    clip_grad=35.0,
    optimizer="SGD",
    momentum=0.9,
    weight_decay=1e-4,
    val_interval=1,
    save_interval=1,
)
