# The student of the study of the detectors for CPUs on real images, trained alone.
_base_ = ["../_base_/model/light_m.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
