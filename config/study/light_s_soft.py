# Soft maps from the detector in the middle, for the smallest student.
_base_ = ["../_base_/model/light_s.py", "../_base_/data/study_ic15.py", "../_base_/schedule/study_light.py"]
train_cfg = dict(lr=2e-3, epoch=16, backbone_lr_factor=1.0)
distiller = dict(
    type="SoftMapDistiller",
    teachers=[dict(config="config/study/light_m.py", checkpoint="work_dirs/study_light_m/checkpoint_last.pth.tar")],
)
