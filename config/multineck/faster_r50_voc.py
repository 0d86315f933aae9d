_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/voc.py", "../_base_/schedule/sgd_16e.py"]
model = dict(num_classes=20)
