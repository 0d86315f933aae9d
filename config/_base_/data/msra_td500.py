# MSRA-TD500: 300 training and 200 test images of rotated lines; HUST-TR400 adds 400 to the training where present.
data = dict(
    batch_size=16,
    root="data/MSRA-TD500",
    train=dict(type="MSRATD500", split="train", img_size=736, short_size=736, kernel_scale=0.7, aspect_jitter=True),
    test=dict(type="MSRATD500", split="test", short_size=736),
)
test_cfg = dict(
    protocol="msra_td500",
    variant="official",
    min_score=0.86,
    min_area=16,
    bbox_type="rect",
    result_path="outputs/submit_msra",
)
