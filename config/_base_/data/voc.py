# PASCAL VOC, 20 classes, every year below data/VOCdevkit in a random 8:1:1 split:
#   python tools/voc_to_coco.py data/VOCdevkit data/VOCdevkit/coco
# The split that is measured during training is val; for the final score use data.test.annotations=coco/test.json.
data = dict(
    batch_size=1,  # images of all processes together: one each. With --devices N, N
    root="data/VOCdevkit",
    train=dict(
        type="COCO",
        annotations="coco/train.json",
        images=".",
        short_sides=[800],
        long_side=1333,
        flip=0.5,
    ),
    test=dict(
        type="COCO",
        annotations="coco/val.json",
        images=".",
        short_side=800,
        long_side=1333,
    ),
)
test_cfg = dict(protocol="coco", variant="bbox", result_path="outputs/detections_voc.json")
