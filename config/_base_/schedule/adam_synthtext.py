# Pre-training of PAN and KKDnet: one pass over SynthText, with a file to resume from every hundredth of it.
train_cfg = dict(lr=1e-3, schedule="polylr", epoch=1, optimizer="Adam", parts=100, save_interval=100)
