# The student's architecture at a quarter of its width.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="FPEMNeck", channels=32, shared=True),
    transformer=dict(type="VisualTransformer", channels=32, tokens=16),
    adapter=dict(type="FeatureAdapter", channels=128),
    head=dict(type="PANHead", hidden=32),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
