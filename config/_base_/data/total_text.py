# Total-Text: 1255 training and 300 test images of curved words.
data = dict(
    batch_size=8,
    root="data/total_text",
    train=dict(type="TotalText", split="train", img_size=640, short_size=640, kernel_scale=0.7),
    test=dict(type="TotalText", split="test", short_size=640),
)
test_cfg = dict(
    protocol="total_text",
    variant="official",
    min_score=0.87,
    min_area=16,
    bbox_type="poly",
    result_path="outputs/submit_tt",
)
