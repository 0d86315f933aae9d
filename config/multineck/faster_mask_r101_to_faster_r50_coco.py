# Branch 1 of a multi-neck learns from Faster R-CNN, branch 2 from Mask R-CNN. Stages 1 and 2 come first:
#   python tools/collect_roi_features.py config/multineck/faster_mask_r101_to_faster_r50_coco.py
#   python tools/fit_centers.py work_dirs/multineck_faster_mask_r101_to_faster_r50_coco/roi_features_teacher1.npz \
#                               work_dirs/multineck_faster_mask_r101_to_faster_r50_coco/roi_features_teacher2.npz
_base_ = ["../_base_/model/faster_rcnn.py", "../_base_/data/coco2017.py", "../_base_/schedule/sgd_16e.py"]
model = dict(neck=dict(type="MultiNeckFPN"))
distiller = dict(
    type="MultiNeckDistiller",
    teachers=[
        dict(
            config="config/multineck/faster_r101_coco.py",
            checkpoint="work_dirs/multineck_faster_r101_coco/checkpoint_last.pth.tar",
            centers="work_dirs/multineck_faster_mask_r101_to_faster_r50_coco/roi_features_teacher1_centers.npz",
        ),
        dict(
            config="config/multineck/mask_r101_coco.py",
            checkpoint="work_dirs/multineck_mask_r101_coco/checkpoint_last.pth.tar",
            centers="work_dirs/multineck_faster_mask_r101_to_faster_r50_coco/roi_features_teacher2_centers.npz",
            cfg_options=["model.heads.predict_masks=False"],
        ),
    ],
    weights=[0.5, 0.5],
    object_weight=2e-6,
    temperature=0.8,
    alpha=1e-3,
    beta=5e-4,
    gamma=5e-4,
    lambda_=5e-6,
)
