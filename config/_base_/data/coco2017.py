# COCO 2017: 118287 training and 5000 validation images, 80 classes.
data = dict(
    batch_size=1,  # images of all processes together: one each. With --devices N, N
    root="data/coco",
    train=dict(
        type="COCO",
        annotations="annotations/instances_train2017.json",
        images="train2017",
        short_sides=[800],
        long_side=1333,
        flip=0.5,
    ),
    test=dict(
        type="COCO",
        annotations="annotations/instances_val2017.json",
        images="val2017",
        short_side=800,
        long_side=1333,
    ),
)
test_cfg = dict(protocol="coco", variant="bbox", result_path="outputs/detections_coco.json")
