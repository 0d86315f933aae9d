_base_ = ["../_base_/model/light_s.py", "../_base_/data/icdar2015.py", "../_base_/schedule/light_400e.py"]
train_cfg = dict(pretrain="work_dirs/light_m_ic15/checkpoint_last.pth.tar")
distiller = dict(
    type="SoftMapDistiller",
    feature_weight=1.0,
    teachers=[dict(config="config/light/m_ic15.py", checkpoint="work_dirs/light_m_ic15/checkpoint_last.pth.tar")],
)
