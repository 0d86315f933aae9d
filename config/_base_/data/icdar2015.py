# ICDAR2015, challenge 4: 1000 training and 500 test images of incidental text, quadrilateral words.
# Without the test labels, train on split="train_part" (900 images) and test on split="validation" (the other 100).
data = dict(
    batch_size=16,
    root="data/ICDAR2015",
    train=dict(type="ICDAR2015", split="train", img_size=736, short_size=736, kernel_scale=0.5, aspect_jitter=True),
    test=dict(type="ICDAR2015", split="test", short_size=736),
)
test_cfg = dict(
    protocol="icdar2015",
    variant="official",
    min_score=0.85,
    min_area=16,
    bbox_type="rect",
    result_path="outputs/submit_ic15.zip",
)
