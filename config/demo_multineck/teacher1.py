# The first teacher of the demo: Faster R-CNN; a backbone with the ImageNet weights of requirement-weights.txt.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", name="tf_efficientnet_lite0", pretrained="efficientnet-lite0"),
    neck=dict(type="FPN"),
)
