# Of the detectors for CPUs.
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=400, optimizer="Adam", warmup=200, clip_grad=5.0)
