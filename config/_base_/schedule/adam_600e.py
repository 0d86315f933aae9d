# PAN and KKDnet: 600 epochs of Adam, polynomial decay.
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=600, optimizer="Adam")
