_base_ = ["../_base_/model/light_m.py", "../_base_/data/ctw1500.py", "../_base_/schedule/light_400e.py"]
model = dict(head=dict(upscale=2))
distiller = dict(
    type="SoftMapDistiller",
    teachers=[dict(config="config/light/l_ctw.py", checkpoint="work_dirs/light_l_ctw/checkpoint_last.pth.tar")],
)
