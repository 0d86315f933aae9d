# One student of two teachers of different form. Their text features have the 512 channels of the student's.
_base_ = ["../_base_/model/kkd_r18.py", "../_base_/data/ctw1500.py", "../_base_/schedule/adam_600e.py"]
model = dict(recompute=True)  # less memory in training, a little slower; False where memory is plenty
data = dict(batch_size=32)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[
        dict(config="config/pan/r50_ctw.py", checkpoint="work_dirs/pan_r50_ctw/checkpoint_last.pth.tar"),
        dict(config="config/kkd/r50_ctw.py", checkpoint="work_dirs/kkd_r50_ctw/checkpoint_last.pth.tar"),
    ],
    teacher_weights=[0.5, 0.5],
    feature_weight=1.0,
    response_weight=1.0,
    divisor=6.0,
    batch_reduction="sum",
)
