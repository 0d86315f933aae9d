_base_ = ["../_base_/pan_r18.py", "../_base_/total_text.py"]
data = dict(batch_size=16)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam")
