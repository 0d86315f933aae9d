# Hard synthetic text (`make study` renders it), in images so small that a study of many runs fits on two cores.
data = dict(
    batch_size=8,
    num_workers=0,
    root="data/study",
    train=dict(type="CTW1500", split="train", img_size=192, short_size=192, kernel_scale=0.7),
    test=dict(type="CTW1500", split="test", short_size=192),
)
test_cfg = dict(protocol="ctw1500", variant="official", min_score=0.85, min_area=16, bbox_type="poly")
