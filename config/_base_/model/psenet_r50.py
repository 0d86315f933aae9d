# PSENet: ResNet-50, feature pyramid, text and six kernels, progressive scale expansion (Wang et al., CVPR 2019).
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=50, pretrained=None),
    neck=dict(type="PSENetFPN", channels=256),
    head=dict(type="PSENetHead", hidden=256, kernel_num=7),
)
loss = dict(type="PSENetLoss", text_weight=0.7, kernel_weight=0.3)
