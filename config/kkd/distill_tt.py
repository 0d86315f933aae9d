_base_ = ["../_base_/model/kkd_r18.py", "../_base_/data/total_text.py", "../_base_/schedule/adam_600e.py"]
model = dict(recompute=True)  # less memory in training, a little slower; False where memory is plenty
data = dict(batch_size=32)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/kkd/r50_tt.py", checkpoint="work_dirs/kkd_r50_tt/checkpoint_last.pth.tar")],
    feature_weight=1.0,
    response_weight=1.0,
    divisor=6.0,
    batch_reduction="sum",
)
