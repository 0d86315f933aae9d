_base_ = ["../_base_/model/light_m.py", "../_base_/data/icdar2015.py", "../_base_/schedule/light_400e.py"]
model = dict(head=dict(upscale=2))
distiller = dict(
    type="SoftMapDistiller",
    teachers=[dict(config="config/light/l_ic15.py", checkpoint="work_dirs/light_l_ic15/checkpoint_last.pth.tar")],
)
