# Of all networks of the demo.
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=3, optimizer="Adam", warmup=50, clip_grad=5.0, val_interval=0)
