# The largest of the detectors for CPUs, and the teacher of the others: EfficientNet-Lite2 and the visual transformer.
model = dict(
    type="TextDetector",
    backbone=dict(type="TimmBackbone", name="tf_efficientnet_lite2", pretrained="efficientnet-lite2"),
    neck=dict(type="FPEMNeck", channels=64),
    transformer=dict(type="VisualTransformer", channels=64, tokens=16),
    head=dict(type="SeparablePANHead", hidden=64),
)
loss = dict(
    type="PANLoss",
    text_weight=1.0,
    kernel_weight=0.5,
    embedding_weight=0.25,
    embedding_version=1,
    dense_weight=1.0,
)
