_base_ = ["../_base_/model/light_s.py", "../_base_/data/ctw1500.py", "../_base_/schedule/light_400e.py"]
train_cfg = dict(pretrain="work_dirs/light_m_ctw/checkpoint_last.pth.tar")
distiller = dict(
    type="SoftMapDistiller",
    feature_weight=1.0,
    teachers=[dict(config="config/light/m_ctw.py", checkpoint="work_dirs/light_m_ctw/checkpoint_last.pth.tar")],
)
