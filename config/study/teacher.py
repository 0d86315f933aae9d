# The teacher's architecture at half of its width. From scratch it learns more slowly than its students.
_base_ = ["../_base_/study.py"]
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=50, width=32),
    neck=dict(type="FPEMNeck", channels=32, shared=True),
    transformer=dict(type="VisualTransformer", channels=32, tokens=16),
    head=dict(type="PANHead", hidden=32),
)
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=8, optimizer="Adam", val_interval=1, save_interval=100)
