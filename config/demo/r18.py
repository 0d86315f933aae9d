# The student of the demo, trained on its own.
_base_ = ["../_base_/demo.py", "../_base_/demo_r18.py"]
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=4, optimizer="Adam", val_interval=2, save_interval=1)
