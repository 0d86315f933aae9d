# The second teacher of the demo: Cascade Mask R-CNN on the same backbone.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0"),
    neck=dict(type="FPN"),
    heads=dict(type="CascadeHeads", mask=True, mask_channels=32),
)
data = dict(train=dict(with_masks=True))
