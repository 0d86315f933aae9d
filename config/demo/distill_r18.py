_base_ = ["../_base_/demo.py"]
# The student's architecture at a quarter of its width.
model = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="FPEMNeck", channels=32, shared=True),
    transformer=dict(type="VisualTransformer", channels=32, tokens=16),
    adapter=dict(type="FeatureAdapter", channels=128),
    head=dict(type="PANHead", hidden=32),
)
train_cfg = dict(lr=3e-3, schedule="polylr", epoch=4, optimizer="Adam", val_interval=2, save_interval=1)
distiller = dict(
    type="KernelMaskDistiller",
    teachers=[dict(config="config/demo/r50.py", checkpoint="outputs/demo/teacher/checkpoint_last.pth.tar")],
)
