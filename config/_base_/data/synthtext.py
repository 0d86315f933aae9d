# SynthText: 858750 rendered images, for pre-training: one pass, with a checkpoint every hundredth of it.
# There is no test split: data.test may be given, with a root of its own, to measure on another benchmark.
data = dict(
    batch_size=16,
    root="data/SynthText",
    train=dict(type="SynthText", split="train", img_size=640, short_size=640, kernel_scale=0.5, aspect_jitter=True),
)
