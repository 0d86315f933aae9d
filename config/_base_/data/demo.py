# The embedded default: synthetic curved text, rendered by tools/make_synthetic.py.
data = dict(
    batch_size=4,
    num_workers=1,
    root="data/demo",
    train=dict(type="CTW1500", split="train", img_size=160, short_size=192, kernel_scale=0.7),
    test=dict(type="CTW1500", split="test", short_size=192),
)
test_cfg = dict(
    protocol="ctw1500",
    variant="official",
    min_score=0.8,
    min_area=16,
    bbox_type="poly",
    result_path="outputs/demo/submit",
)
