# The smallest detector for CPUs: EfficientNet-Lite0 with a third of its expanded channels, and maps at stride 2.
model = dict(
    type="TextDetector",
    backbone=dict(type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0", expansion=2),
    neck=dict(type="FPEMNeck", channels=32),
    head=dict(type="SeparablePANHead", hidden=32, upscale=2),
)
loss = dict(
    type="PANLoss",
    text_weight=1.0,
    kernel_weight=0.5,
    embedding_weight=0.25,
    embedding_version=1,
    dense_weight=1.0,
)
