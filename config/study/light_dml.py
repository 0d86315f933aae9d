# Deep mutual learning: two students without a teacher.
_base_ = ["light_m.py"]
distiller = dict(type="MutualDistiller")
