# The teacher of the demo: EfficientNet-Lite0 with the ImageNet weights of requirement-weights.txt.
_base_ = ["../_base_/model/light_m.py", "../_base_/data/demo.py", "../_base_/schedule/demo.py"]
loss = dict(dense_weight=0.0)  # that of its students
train_cfg = dict(lr=2e-3)
