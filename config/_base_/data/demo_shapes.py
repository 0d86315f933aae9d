# The embedded default of object detection: synthetic shapes, rendered by tools/make_synthetic_coco.py.
data = dict(
    batch_size=4,
    num_workers=1,
    root="data/demo_multineck",
    train=dict(
        type="COCO",
        annotations="annotations/instances_train2017.json",
        images="train2017",
        short_sides=[128],
        long_side=192,
    ),
    test=dict(
        type="COCO",
        annotations="annotations/instances_val2017.json",
        images="val2017",
        short_side=128,
        long_side=192,
    ),
)
test_cfg = dict(protocol="coco", variant="bbox", result_path="outputs/demo-multineck/detections.json")
