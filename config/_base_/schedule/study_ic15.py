# Of the students of the study on real images.
train_cfg = dict(lr=2e-3, schedule="polylr", epoch=12, optimizer="Adam", val_interval=6, save_interval=100)
