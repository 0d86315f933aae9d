# Of the student of the demo.
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=4, optimizer="Adam", val_interval=2, save_interval=1)
