# KKDnet student: as the teacher, with ResNet-18 and the feature adaptation layer in use.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, pretrained=None),
    neck=dict(type="FPEMNeck", channels=128, version=2, shared=True),
    transformer=dict(type="VisualTransformer", channels=128, tokens=32),
    adapter=dict(type="FeatureAdapter", channels=512),
    head=dict(type="PANHead", hidden=128),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
