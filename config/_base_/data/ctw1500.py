# CTW1500: 1000 training and 500 test images of long curved text lines.
data = dict(
    batch_size=12,
    root="data/ctw1500",
    train=dict(type="CTW1500", split="train", img_size=640, short_size=640, kernel_scale=0.7),
    test=dict(type="CTW1500", split="test", short_size=640),
)
test_cfg = dict(
    protocol="ctw1500",
    variant="official",
    min_score=0.88,
    min_area=16,
    bbox_type="poly",
    result_path="outputs/submit_ctw",
)
