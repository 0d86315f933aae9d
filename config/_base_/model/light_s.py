# The smallest detector for CPUs. No package ships ImageNet weights of its backbone: name a file if you have one.
model = dict(
    type="TextDetector",
    backbone=dict(type="TimmBackbone", name="mobilenetv3_small_100", pretrained=None),
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
