# PSENet: 600 epochs of SGD, a tenth of the learning rate after 200 and after 400.
train_cfg = dict(
    lr=1e-3,
    schedule=[200, 400],
    epoch=600,
    optimizer="SGD",
    momentum=0.99,
    weight_decay=5e-4,
)
