# The recipe of kkd/distill_ctw.py with the plain squared difference of the text features.
_base_ = ["../_base_/model/kkd_r18.py", "../_base_/data/ctw1500.py", "../_base_/schedule/adam_600e.py"]
model = dict(recompute=True)
data = dict(batch_size=32)
distiller = dict(
    type="FeatureMSEDistiller",
    teachers=[dict(config="config/kkd/r50_ctw.py", checkpoint="work_dirs/kkd_r50_ctw/checkpoint_last.pth.tar")],
)
