_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/coco2017.py", "../_base_/schedule/sgd_16e.py"]
distiller = dict(
    type="FGDDistiller",
    teachers=[
        dict(
            config="config/multineck/faster_r101_coco.py",
            checkpoint="work_dirs/multineck_faster_r101_coco/checkpoint_last.pth.tar",
        ),
    ],
    temperature=0.5,
    # Those of the paper for detectors of two stages.
    alpha=5e-5,
    beta=2.5e-5,
    gamma=5e-5,
    lambda_=5e-7,
)
