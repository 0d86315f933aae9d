# The middle one of the detectors for CPUs: EfficientNet-Lite0.
model = dict(
    type="TextDetector",
    backbone=dict(type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0"),
    neck=dict(type="FPEMNeck", channels=32),
    head=dict(type="SeparablePANHead", hidden=32),
)
loss = dict(
    type="PANLoss",
    text_weight=1.0,
    kernel_weight=0.5,
    embedding_weight=0.25,
    embedding_version=1,
    dense_weight=1.0,
)
