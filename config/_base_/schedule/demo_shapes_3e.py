# Of all networks of the multi-neck demo.
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=3, optimizer="Adam", warmup=50, clip_grad=10.0, val_interval=3)
