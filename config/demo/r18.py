# The student of the demo, trained on its own.
_base_ = ["../_base_/model/demo_r18.py", "../_base_/data/demo.py", "../_base_/schedule/demo_4e.py"]
