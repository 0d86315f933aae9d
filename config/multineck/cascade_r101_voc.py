# Without a mask head: VOC has masks for a part of its images only.
_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/voc.py", "../_base_/schedule/sgd_16e.py"]
model = dict(backbone=dict(depth=101), heads=dict(type="CascadeHeads"), num_classes=20)
