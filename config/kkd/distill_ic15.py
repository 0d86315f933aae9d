_base_ = ["../_base_/model/kkd_r18.py", "../_base_/data/icdar2015.py", "../_base_/schedule/adam_600e.py"]
model = dict(recompute=True)  # less memory in training, a little slower; False where memory is plenty
data = dict(batch_size=32)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/kkd/r50_ic15.py", checkpoint="work_dirs/kkd_r50_ic15/checkpoint_last.pth.tar")],
    feature_weight=1.0,
    response_weight=1.0,
    divisor=6.0,
    batch_reduction="sum",
)
