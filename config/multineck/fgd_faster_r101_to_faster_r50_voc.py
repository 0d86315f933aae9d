_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/voc.py", "../_base_/schedule/sgd_16e.py"]
model = dict(num_classes=20)
distiller = dict(
    type="FGDDistiller",
    teachers=[
        dict(
            config="config/multineck/faster_r101_voc.py",
            checkpoint="work_dirs/multineck_faster_r101_voc/checkpoint_last.pth.tar",
        ),
    ],
    temperature=0.5,
    # Those of the paper for detectors of two stages.
    alpha=5e-5,
    beta=2.5e-5,
    gamma=5e-5,
    lambda_=5e-7,
)
