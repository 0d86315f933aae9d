# The recipe of kkd/distill_ctw.py with channel-wise distillation (Shu et al., ICCV 2021) of the text feature.
_base_ = ["../_base_/kkd_r18.py", "../_base_/ctw1500.py"]
model = dict(recompute=True)
data = dict(batch_size=32)
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam")
distiller = dict(
    type="ChannelWiseDistiller",
    teachers=[dict(config="config/kkd/r50_ctw.py", checkpoint="work_dirs/kkd_r50_ctw/checkpoint_last.pth.tar")],
)
