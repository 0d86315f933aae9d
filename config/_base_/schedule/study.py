# Of the students of the study on synthetic text.
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=3, optimizer="Adam", val_interval=1, save_interval=100)
