# The student of the demo, trained alone.
_base_ = ["../_base_/model/demo_student.py", "../_base_/data/demo.py", "../_base_/schedule/demo.py"]
