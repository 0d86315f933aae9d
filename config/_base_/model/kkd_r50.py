# KKDnet teacher: PAN with one shared FPEM and the visual transformer module, ResNet-50.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=50, pretrained=None),
    neck=dict(type="FPEMNeck", channels=128, version=2, shared=True),
    transformer=dict(type="VisualTransformer", channels=128, tokens=32),
    adapter=dict(type="FeatureAdapter", channels=512, bypass=True),  # published checkpoints carry it unused
    head=dict(type="PANHead", hidden=128),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
