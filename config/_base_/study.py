# Hard synthetic text (see `make study`), in images so small that a study of many runs fits on two cores.
_base_ = ["demo.py"]
data = dict(num_workers=0, root="data/study")
