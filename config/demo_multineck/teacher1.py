# The first teacher of the demo: Faster R-CNN.
_base_ = ["../_base_/model/demo_rcnn.py", "../_base_/data/demo_shapes.py", "../_base_/schedule/demo_shapes_3e.py"]
model = dict(backbone=dict(depth=50), neck=dict(type="FPN"))
