# The teacher's architecture at half of its width.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=50, width=32),
    neck=dict(type="FPEMNeck", channels=32, shared=True),
    transformer=dict(type="VisualTransformer", channels=32, tokens=16),
    head=dict(type="PANHead", hidden=32),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
