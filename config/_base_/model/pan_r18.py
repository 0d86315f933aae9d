# PAN: ResNet-18, two feature pyramid enhancement modules, pixel aggregation (Wang et al., ICCV 2019).
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, pretrained=None),
    neck=dict(type="FPEMNeck", channels=128),
    head=dict(type="PANHead", hidden=128),
)
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
