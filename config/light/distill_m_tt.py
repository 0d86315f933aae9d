_base_ = ["../_base_/model/light_m.py", "../_base_/data/total_text.py", "../_base_/schedule/light_400e.py"]
model = dict(head=dict(upscale=2))
distiller = dict(
    type="SoftMapDistiller",
    teachers=[dict(config="config/light/l_tt.py", checkpoint="work_dirs/light_l_tt/checkpoint_last.pth.tar")],
)
