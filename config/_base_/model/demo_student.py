# A detector for CPUs with a backbone that learns from random weights in minutes: ResNet-18 at a quarter of its width.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="FPEMNeck", channels=32),
    head=dict(type="SeparablePANHead", hidden=32),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
