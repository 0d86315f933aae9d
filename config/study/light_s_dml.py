# Deep mutual learning: two of the smallest students without a teacher.
_base_ = ["light_s.py"]
distiller = dict(type="MutualDistiller")
