# Without a mask head: VOC has masks for a part of its images only.
_base_ = ["../_base_/faster_rcnn.py", "../_base_/voc.py", "../_base_/detection_16e.py"]
model = dict(backbone=dict(depth=101), heads=dict(type="CascadeHeads"), num_classes=20)
