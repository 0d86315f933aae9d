_base_ = ["../_base_/data/demo.py"]
# The teacher's architecture at a quarter of its width.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=50, width=16),
    neck=dict(type="FPEMNeck", channels=32, shared=True),
    transformer=dict(type="VisualTransformer", channels=32, tokens=16),
    head=dict(type="PANHead", hidden=32),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=5, optimizer="Adam", val_interval=5, save_interval=1)
