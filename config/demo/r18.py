_base_ = ["../_base_/demo.py"]
# The student's architecture at a quarter of its width, trained on its own.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="FPEMNeck", channels=64, shared=True),
    transformer=dict(type="VisualTransformer", channels=64, tokens=16),
    adapter=dict(type="FeatureAdapter", channels=256),
    head=dict(type="PANHead", hidden=64),
)
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=20, optimizer="Adam", val_interval=5, save_interval=5)
