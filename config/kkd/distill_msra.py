_base_ = ["../_base_/kkd_r18.py", "../_base_/msra_td500.py"]
model = dict(recompute=True)  # less memory in training, a little slower; False where memory is plenty
data = dict(batch_size=32)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam", pretrain=None)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/kkd/r50_msra.py", checkpoint="work_dirs/kkd_r50_msra/checkpoint_last.pth.tar")],
    feature_weight=1.0,
    response_weight=1.0,
    divisor=6.0,
    batch_reduction="sum",
)
