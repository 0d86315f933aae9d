# Of the study of the detectors for CPUs on real images: their schedule, short.
_base_ = ["light_400e.py"]
train_cfg = dict(epoch=4, warmup=100, val_interval=0, save_interval=100)
