# Real images, reduced: 900 of the ICDAR2015 training images, tested on the other 100, at 512 px instead of 736.
data = dict(
    batch_size=8,
    num_workers=0,
    root="data/ICDAR2015",
    train=dict(
        type="ICDAR2015", split="train_part", img_size=256, short_size=512, kernel_scale=0.5, aspect_jitter=True
    ),
    test=dict(type="ICDAR2015", split="validation", short_size=512),
)
test_cfg = dict(protocol="icdar2015", variant="official", min_score=0.85, min_area=16, bbox_type="rect")
loss = dict(type="PANLoss", text_weight=1.0, kernel_weight=0.5, embedding_weight=0.25, embedding_version=1)
train_cfg = dict(lr=2e-3, schedule="polylr", epoch=2, optimizer="Adam", val_interval=1, save_interval=100)
