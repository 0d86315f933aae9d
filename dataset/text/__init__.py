"""Images of text: records, augmentation, training targets, and the readers of the benchmarks."""
