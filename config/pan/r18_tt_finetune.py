_base_ = ["../_base_/model/pan_r18.py", "../_base_/data/total_text.py", "../_base_/schedule/adam_600e.py"]
data = dict(batch_size=16)
train_cfg = dict(pretrain="work_dirs/pan_r18_synth/checkpoint_last.pth.tar")
