# Deep mutual learning: two students without a teacher.
_base_ = ["../_base_/model/light_m.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
distiller = dict(type="MutualDistiller")
