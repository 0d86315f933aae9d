_base_ = ["study.py", "demo_r18.py"]
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=3, optimizer="Adam", val_interval=1, save_interval=100)
