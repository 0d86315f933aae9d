_base_ = ["../_base_/faster_rcnn.py", "../_base_/voc.py", "../_base_/detection_16e.py"]
model = dict(neck=dict(type="MultiNeckFPN"), num_classes=20)
