_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/coco2017.py", "../_base_/schedule/sgd_16e.py"]
